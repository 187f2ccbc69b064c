"""dataset_generation: several processes make what one makes, and end with the job."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from samples import dataset_support as support

from worker.context import JobCancelled, RetryableError
from worker.jobs.dataset_generation import build
from worker.jobs.dataset_generation.made import Made
from worker.jobs.dataset_generation.making import Maker
from worker.jobs.dataset_generation.model import Draft, Item
from worker.jobs.dataset_generation.parameters import Parameters
from worker.jobs.dataset_generation.rules import Rules
from worker.jobs.dataset_generation.run import run
from worker.jobs.dataset_generation.spool import Spool
from worker.jobs.shared import crew
from worker.jobs.shared.duplicates import shape_of

VALUES: dict[str, Any] = {"formats": ["jsonl", "csv"], "min_output_chars": 60}


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "OFFLINE_BATCH", 4)
    monkeypatch.setattr(crew, "FEW", 1)


@pytest.fixture(autouse=True)
def no_process_is_left() -> Iterator[None]:
    before = set(psutil.Process().children(recursive=True))
    yield
    assert set(psutil.Process().children(recursive=True)) <= before


def source() -> dict[str, Any]:
    chunks = support.chunks(12, 5, headings=["Doctor’s “Manual”"])
    chunks += [{**chunk, "chunk_id": f"again:{number}"} for number, chunk in enumerate(chunks[::7])]
    keys = ("chunk_id", "document_id", "text")
    found = [
        {key: line[key] for key in (*keys, "category_id", "category_path", "confidence")}
        for line in support.extractions(chunks)
    ]
    return {"chunks": [{key: chunk[key] for key in keys} for chunk in chunks], "extractions": found}


def files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name != "manifest.json"}


def start(root: Path, processes: int, stop_when: Any = lambda: None, name: str = "own", **values: Any) -> Any:
    ctx = support.context(root, name)
    ctx.processes, ctx.check = processes, stop_when
    return run(ctx, Parameters.model_validate({"source": source(), **VALUES, **values}))


def children() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if crew.CHILD_MODULE in child.cmdline()]


@pytest.mark.parametrize("mode", ["instruction", "classification", "completion"])
def test_two_processes_write_what_one_writes(tmp_path: Path, mode: str) -> None:
    seen: set[int] = set()
    alone = start(tmp_path, 1, lambda: seen.update(child.pid for child in children()), "alone", generation_mode=mode)
    assert not seen
    shared = start(tmp_path, 2, lambda: seen.update(child.pid for child in children()), "shared", generation_mode=mode)
    assert len(seen) == 2
    assert shared == alone
    assert files(tmp_path / "jobs" / "shared") == files(tmp_path / "jobs" / "alone")
    assert alone["rejected"]["duplicate"] and (mode != "instruction" or alone["rejected"]["too_short"])


def test_a_killed_process_fails_the_job_in_words(tmp_path: Path) -> None:
    def kill_one() -> None:
        for child in children()[:1]:
            os.kill(child.pid, signal.SIGKILL)

    with pytest.raises(RetryableError, match="SIGKILL") as raised:
        start(tmp_path, 2, kill_one)
    assert raised.value.code == "process_lost"
    assert not list((tmp_path / "jobs" / "own").iterdir())


def test_a_job_is_cancelled_while_others_work(tmp_path: Path) -> None:
    def cancel() -> None:
        for child in children():
            child.suspend()
            raise JobCancelled

    with pytest.raises(JobCancelled):
        start(tmp_path, 2, cancel)
    assert not list((tmp_path / "jobs" / "own").iterdir())


def test_what_is_told_of_records_stays_with_them(tmp_path: Path) -> None:
    """Whichever batch they come in, and whatever was refused before them."""
    rules = Rules("instruction", "alpaca", 1, 3, is_written=False, shortest=20, most_tokens=None, threshold=0.8)
    texts = [support.text(number) for number in range(4)]
    items = [Item(number, f"c{number}", f"d{number % 2}", text) for number, text in enumerate(texts)]
    first, again = ([about(text, text), about(text, "short"), about(text, text[:60])] for text in (texts[0], texts[1]))
    again.append(about(texts[1], f"{texts[1]}", "Say it once more."))
    with Spool(tmp_path) as spool:
        for batch, drafts in ((items[:2], [first, []]), (items[2:0:-1], [[about(texts[2], texts[2])], again])):
            spool.add(saved_and_read(Maker(rules).made(batch, drafts), tmp_path / "made"))
        spool.add(Maker(rules).made(items[:1], [first[:1]]))
        assert [entry.output for entry, _ in spool.entries()] == [
            texts[0], texts[0][:60], texts[2], texts[1], texts[1][:60], texts[1], texts[0],
        ]  # fmt: skip
        assert [source.chunk_id for _, source in spool.entries()] == ["c0", "c0", "c2", "c1", "c1", "c1", "c0"]
        # The one says the same as another of its item, the other is equal to one of an earlier batch.
        assert spool.doubles == {5, 6}
        documents = [spool.document_of(spool.item_of(entry)) for entry in range(len(spool))]
        assert documents == ["d0", "d0", "d0", "d1", "d1", "d1", "d0"]
        assert spool.shape_of_text(1).digest == shape_of(texts[2]).digest
        assert list(spool.focused("about")) == [1, 4]
        assert spool.shape_of_focus(4).shingles.tolist() == shape_of(texts[1][:60]).shingles.tolist()


def about(text: str, answer: str, asked: str = "What does it say?") -> Draft:
    focus = answer if len(answer) == 60 else None
    return Draft("about", asked, text, answer, (answer,), focus)


def saved_and_read(made: Made, file: Path) -> Made:
    made.save(file)
    return Made.load(file)

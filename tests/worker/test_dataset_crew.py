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
from worker.jobs.dataset_generation.parameters import Parameters
from worker.jobs.dataset_generation.run import run
from worker.jobs.shared import crew

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

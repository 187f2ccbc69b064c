"""document_processing: executions of one job never touch each other's files, and a full disk is no document's fault."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from samples import document_support as support

from worker.context import JobCancelled
from worker.jobs.document_processing import document_process
from worker.jobs.document_processing.artefacts import PUBLISHED, Artefacts
from worker.jobs.document_processing.parameters import Parameters
from worker.jobs.document_processing.run import run
from worker.jobs.shared.errors import StorageError
from worker.jobs.shared.workspace import storing, workspace

COMPLETE = ["chunks.jsonl", "documents.jsonl", "manifest.json", "text"]


def parameters(*texts: str) -> Parameters:
    documents = [{"text": text, "name": f"{number}.txt"} for number, text in enumerate(texts, 1)]
    return Parameters.model_validate({"documents": documents})


def context(tmp_path: Path, fence: int = 1, stop_when: Callable[[], None] = lambda: None) -> Any:
    return support.FakeContext(tmp_path / "job", tmp_path, stop_when, fence=fence)


def names(tmp_path: Path) -> list[str]:
    return sorted(file.name for file in (tmp_path / "job").iterdir())


def chunk_texts(tmp_path: Path) -> list[str]:
    return [piece["text"] for piece in support.read_lines(tmp_path / "job" / "chunks.jsonl")]


def once(action: Callable[[], object], at: int) -> Callable[[], None]:
    """At the given one of the looks for a cancellation, which come all the time."""
    looks = iter(range(1, 1_000_000))

    def look() -> None:
        if next(looks) == at:
            action()

    return look


def test_what_earlier_executions_left_is_removed(tmp_path: Path) -> None:
    run(context(tmp_path, 3), parameters("first", "second"))
    for name in ("work.3.partial/document/0001.text", "work.2.partial/text/a.md", "work.4.partial/chunks.jsonl"):
        (tmp_path / "job" / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / "job" / name).write_bytes(b"left by a killed execution")
    (tmp_path / "job" / "notes.log").write_bytes(b"not ours")
    run(context(tmp_path, 4), parameters("third"))
    assert names(tmp_path) == sorted([*COMPLETE, "notes.log"])
    assert len(list((tmp_path / "job" / "text").iterdir())) == 1


@pytest.mark.parametrize("at", range(1, 8))
def test_execution_that_was_overtaken_stops_and_leaves_the_newer_one_alone(tmp_path: Path, at: int) -> None:
    """The older execution stands still at any of its steps until the newer one has finished."""
    overtake = once(lambda: run(context(tmp_path, 2), parameters("newer")), at)
    with pytest.raises(StorageError, match="newer execution"):
        run(context(tmp_path, 1, overtake), parameters("older", "older too"))
    assert names(tmp_path) == COMPLETE
    assert chunk_texts(tmp_path) == ["newer"]


@pytest.mark.parametrize("at", range(1, 8))
def test_execution_that_wakes_late_finds_the_newer_one_at_work(tmp_path: Path, at: int) -> None:
    def older() -> None:
        with pytest.raises(StorageError, match="newer execution"):
            run(context(tmp_path, 1), parameters("older"))

    run(context(tmp_path, 2, once(older, at)), parameters("newer", "newer too"))
    assert names(tmp_path) == COMPLETE
    assert chunk_texts(tmp_path) == ["newer", "newer too"]


def test_execution_that_begins_after_a_newer_one_ended_changes_nothing(tmp_path: Path) -> None:
    run(context(tmp_path, 2), parameters("newer"))
    with pytest.raises(StorageError, match="newer execution"):
        run(context(tmp_path, 1), parameters("older"))
    assert (names(tmp_path), chunk_texts(tmp_path)) == (COMPLETE, ["newer"])
    assert json.loads((tmp_path / "job" / "manifest.json").read_text("utf-8"))["fence"] == 2


@pytest.mark.parametrize("manifest", ["", "[]", '{"fence": null}', "\udcff"])
def test_manifest_of_others_stops_nobody(tmp_path: Path, manifest: str) -> None:
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "manifest.json").write_text(manifest, "utf-8", "surrogateescape")
    run(context(tmp_path, 1), parameters("words"))
    assert names(tmp_path) == COMPLETE


def test_stock_workers_know_no_fence(tmp_path: Path) -> None:
    """Theirs is 0 every time, which makes nobody older than an earlier run of our own workers."""
    for fence in (7, 0, 0, 8):
        run(context(tmp_path, fence), parameters(f"by {fence}"))
        assert (names(tmp_path), chunk_texts(tmp_path)) == (COMPLETE, [f"by {fence}"])


def test_nothing_is_published_from_a_folder_that_was_taken_away(tmp_path: Path) -> None:
    with workspace(context(tmp_path, 1), PUBLISHED) as older:
        artefacts = Artefacts(older)
        artefacts.open()
        with workspace(context(tmp_path, 2), PUBLISHED):
            with pytest.raises(StorageError, match="newer execution"):
                artefacts.publish({})
            assert names(tmp_path) == ["work.2.partial"]


def test_cancelled_older_execution_leaves_the_newer_one_alone(tmp_path: Path) -> None:
    def stop() -> None:
        run(context(tmp_path, 2), parameters("newer"))
        raise JobCancelled

    with pytest.raises(JobCancelled):
        run(context(tmp_path, 1, once(stop, 2)), parameters("older"))
    assert (names(tmp_path), chunk_texts(tmp_path)) == (COMPLETE, ["newer"])


def test_full_disk_in_the_document_process_is_the_jobs_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document_process, "CHILD_MODULE", "samples.document_child_for_tests")
    with pytest.raises(StorageError, match=r"^There is no room .* nothing is wrong with the input"):
        run(context(tmp_path), parameters("good words", "FULL"))
    assert names(tmp_path) == []


@pytest.mark.parametrize("failing", ["0001.json", "documents.jsonl", "chunks.jsonl", "manifest.json"])
def test_full_disk_in_the_job_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    def full_for_one(way: Callable[..., Any]) -> Callable[..., Any]:
        def write(self: Path, *arguments: Any, **keywords: Any) -> Any:
            if self.name == failing:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))
            return way(self, *arguments, **keywords)

        return write

    for way in ("open", "write_text"):
        monkeypatch.setattr(Path, way, full_for_one(getattr(Path, way)))
    with pytest.raises(StorageError, match="no room"):
        run(context(tmp_path), parameters("good words"))
    assert names(tmp_path) == []


def test_full_disk_at_the_very_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, *arguments: Any, **keywords: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))

    given = context(tmp_path)
    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(StorageError, match="no room"), workspace(given, PUBLISHED):
        pass


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "There is no room"),
        (errno.EDQUOT, "There is no room"),
        (errno.ENOENT, "newer execution"),
        (errno.EROFS, "Read-only file system"),
    ],
)
def test_words_for_storage_that_fails(number: int, words: str) -> None:
    with pytest.raises(StorageError, match=words) as caught, storing():
        raise OSError(number, os.strerror(number), "/secret/place")
    assert "/secret" not in str(caught.value)

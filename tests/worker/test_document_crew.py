"""document_processing with several document processes: the same files as with one, and no document pays for another."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from samples import document_support as support

from worker.context import JobCancelled, PermanentError, RetryableError, UrlRules
from worker.jobs.document_processing import document_process, fetch
from worker.jobs.document_processing.crew import Crew
from worker.jobs.document_processing.fetch import Wanted
from worker.jobs.document_processing.parameters import Parameters
from worker.jobs.document_processing.progress import Progress
from worker.jobs.document_processing.run import run


@pytest.fixture(autouse=True)
def accidents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document_process, "CHILD_MODULE", "samples.document_child_for_tests")


def parameters(*texts: str, **values: Any) -> Parameters:
    documents = [{"text": text, "name": f"{number}.txt"} for number, text in enumerate(texts, 1)]
    return Parameters.model_validate({"documents": documents, **values})


def context(folder: Path, processes: int, stop_when: Callable[[], None] = lambda: None) -> Any:
    ctx = support.FakeContext(folder, folder.parent, stop_when)
    ctx.processes = processes
    return ctx


def statuses(folder: Path) -> list[tuple[str, str | None]]:
    records = support.read_lines(folder / "documents.jsonl")
    return [(record["name"], record["error"] and record["error"]["code"]) for record in records]


def test_two_documents_are_parsed_at_the_same_time(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    result = run(context(tmp_path / "job", 2), parameters(f"MEET {one} {two}", f"MEET {two} {one}"))
    assert result["processed_documents"] == 2


@pytest.mark.parametrize("strategy", ["token", "semantic"])
def test_files_are_the_same_with_any_number_of_processes(tmp_path: Path, strategy: str) -> None:
    texts = [f"Text {number}. " + "Words that matter to somebody. " * 40 * number for number in range(1, 6)]
    texts[2:2] = ["EXIT", "", "CHUNK-KILL"]
    for processes in (1, 2):
        job = context(tmp_path / str(processes), processes)
        assert run(job, parameters(*texts, chunk_strategy=strategy))["processed_documents"] == 5
    for name in ("documents.jsonl", "chunks.jsonl"):
        assert len({(tmp_path / str(processes) / name).read_bytes() for processes in (1, 2)}) == 1


@pytest.mark.parametrize("word", ["LARGE", "CHUNK-LARGE"])
def test_what_needs_more_than_its_share_is_done_again_alone(tmp_path: Path, word: str) -> None:
    run(context(tmp_path / "job", 2), parameters("first", word, "third", "fourth"))
    assert statuses(tmp_path / "job") == [(f"{number}.txt", None) for number in range(1, 5)]


def test_what_crashes_alone_too_has_failed_and_the_others_go_on(tmp_path: Path) -> None:
    run(context(tmp_path / "job", 2), parameters("first", "EXIT", "KILL", "fourth", "MEMORY", "last"))
    failed = {"2.txt": "parser_crashed", "3.txt": "parser_crashed", "5.txt": "parser_crashed"}
    assert statuses(tmp_path / "job") == [(f"{n}.txt", failed.get(f"{n}.txt")) for n in range(1, 7)]


def test_job_ends_at_the_same_failure_as_with_one_process(tmp_path: Path) -> None:
    texts = ("first", "second", "EXIT", "fourth", "EXIT", "sixth")
    for processes in (1, 2):
        with pytest.raises(PermanentError) as caught:
            run(context(tmp_path / str(processes), processes), parameters(*texts, fail_fast=True))
        assert "3.txt" in str(caught.value)
    assert statuses(tmp_path / "1") == statuses(tmp_path / "2")
    assert statuses(tmp_path / "2")[-1] == ("3.txt", "parser_crashed")


def test_progress_counts_what_is_done_and_never_goes_back(tmp_path: Path) -> None:
    ctx = context(tmp_path / "job", 2)
    run(ctx, parameters(*(f"text {number}" for number in range(6))))
    fractions = [fraction for fraction, *_ in ctx.notes]
    assert fractions == sorted(fractions)
    assert [done for _, step, done, _ in ctx.notes if step.startswith("Finished")] == [1, 2, 3, 4, 5, 6]
    assert [done for _, step, done, _ in ctx.notes if step.startswith("Chunked")] == [1, 2, 3, 4, 5, 6]


def test_progress_does_not_go_back_when_a_document_is_begun_anew(tmp_path: Path) -> None:
    ctx = context(tmp_path / "job", 1)
    told = Progress(ctx)
    told.begin((0.0, 1.0), 2)
    for part in (0.5, 1.0, 0.2, 1.0):
        told.note(1, "a.txt", "Parsing", part)
    assert [(fraction, done) for fraction, _, done, _ in ctx.notes] == [(0.25, 0), (0.5, 1), (0.5, 1), (0.5, 1)]


def test_time_limits_hold_while_another_document_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pid = tmp_path / "pid"

    def fetch_until_the_other_is_given_up(wanted: Wanted) -> None:
        deadline = time.monotonic() + 30
        while not (pid.exists() and pid.read_text()) or psutil.pid_exists(int(pid.read_text())):
            assert time.monotonic() < deadline
            wanted.check()
        wanted.take(b"fetched")

    monkeypatch.setattr(fetch, "fetch", fetch_until_the_other_is_given_up)
    ctx = context(tmp_path / "job", 2)
    ctx.url_rules = UrlRules("public")
    documents = [{"text": f"HANG {pid}", "name": "1.txt"}, {"url": "http://example.org/2.txt"}]
    run(ctx, Parameters.model_validate({"documents": documents, "document_timeout": 1}))
    assert statuses(tmp_path / "job") == [("1.txt", "document_timeout"), ("2.txt", None)]


def test_fetched_files_do_not_wait_for_the_turn_of_their_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    monkeypatch.setattr(fetch, "fetch", lambda wanted: wanted.take(b"fetched"))

    def let_the_first_go_when_the_second_has_ended() -> None:
        if not there.exists() and any(step.startswith("Finished 2/2") for _, step, _, _ in ctx.notes):
            there.touch()
            assert list((tmp_path / "job" / "work.1.partial" / "document").glob("0002.*")) == []

    ctx = context(tmp_path / "job", 2, let_the_first_go_when_the_second_has_ended)
    ctx.url_rules = UrlRules("public")
    documents = [{"text": f"MEET {here} {there}", "name": "1.txt"}, {"url": "http://example.org/2.txt"}]
    assert run(ctx, Parameters.model_validate({"documents": documents}))["processed_documents"] == 2


@pytest.mark.parametrize(("size", "limit"), [(1, 2048), (2, 2048), (4, 2048), (64, 2048), (16, 16_384), (2, 512)])
def test_all_processes_together_stay_within_the_memory_of_the_job(size: int, limit: int) -> None:
    crew = Crew(size, limit)
    count = len(crew._processes)
    assert 1 <= count <= size
    assert count == 1 or count * crew.side_by_side_bytes < limit * 1024 * 1024
    assert crew.side_by_side_bytes <= crew.alone_bytes <= 1500 * 1024 * 1024
    assert count == {(2, 2048): 2, (16, 16_384): 16}.get((size, limit), count)


def test_no_room_for_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **more: Any) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(RetryableError, match="no room for another process") as caught:
        run(context(tmp_path / "job", 2), parameters("text"))
    assert caught.value.code == "process_lost"


def test_cancellation_kills_all_of_them(tmp_path: Path) -> None:
    pids = [tmp_path / "one", tmp_path / "two"]

    def stop() -> None:
        if all(file.exists() and file.read_text() for file in pids):
            raise JobCancelled

    with pytest.raises(JobCancelled):
        run(context(tmp_path / "job", 2, stop), parameters(*(f"HANG {file}" for file in pids)))
    assert not any(psutil.pid_exists(int(file.read_text())) for file in pids)
    assert list((tmp_path / "job").iterdir()) == []

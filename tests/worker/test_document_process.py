"""document_processing: what happens to the document process must not happen to the job."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from samples import document_support as support

from worker.context import JobCancelled, PermanentError, RetryableError
from worker.jobs.document_processing import document_process
from worker.jobs.document_processing.parameters import Parameters
from worker.jobs.document_processing.run import run
from worker.jobs.shared import parent_side
from worker.jobs.shared.patience import Patience


@pytest.fixture(autouse=True)
def accidents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document_process, "CHILD_MODULE", "samples.document_child_for_tests")


@pytest.fixture(autouse=True, params=[1, 2])
def processes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(support.FakeContext, "processes", request.param)
    return int(request.param)


@pytest.fixture(autouse=True)
def no_process_is_left() -> Any:
    before = set(psutil.Process().children(recursive=True))
    yield
    assert set(psutil.Process().children(recursive=True)) <= before


def parameters(*texts: str, **values: Any) -> Parameters:
    documents = [{"text": text, "name": f"{number}.txt"} for number, text in enumerate(texts, 1)]
    return Parameters.model_validate({"documents": documents, **values})


def context(tmp_path: Path, stop_when: Callable[[], None] = lambda: None) -> Any:
    return support.FakeContext(tmp_path / "job", tmp_path, stop_when)


def wait_for(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        os.sched_yield()


@pytest.mark.parametrize(("word", "how"), [("KILL", "SIGKILL"), ("ABORT", "SIGABRT"), ("EXIT", "exit code 3")])
def test_crash_costs_one_document(tmp_path: Path, word: str, how: str) -> None:
    result = run(context(tmp_path), parameters("first text", word, "third text"))
    (error,) = result["errors"]
    assert (error["code"], error["name"], error["retryable"]) == ("parser_crashed", "2.txt", False)
    assert how in error["message"]
    records = support.read_lines(tmp_path / "job" / "documents.jsonl")
    assert [record["status"] for record in records] == ["completed", "failed", "completed"]
    assert result["total_chunks"] == 2


def test_what_was_known_before_the_crash_is_kept(tmp_path: Path) -> None:
    run(context(tmp_path), parameters("ABORT", "text"))
    assert support.read_lines(tmp_path / "job" / "documents.jsonl")[0]["sha256"] == "abc"


def test_timeout_costs_one_document(tmp_path: Path) -> None:
    result = run(context(tmp_path), parameters(f"HANG {tmp_path}/pid", "text", document_timeout=3))
    (error,) = result["errors"]
    assert (error["code"], error["retryable"]) == ("document_timeout", True)
    assert result["processed_documents"] == 1
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize(("other", "kind"), [("HANG", RetryableError), ("", PermanentError)])
def test_job_may_be_tried_again_when_that_may_mend_all_failures(
    tmp_path: Path, other: str, kind: type[Exception]
) -> None:
    texts = f"HANG {tmp_path}/pid", f"{other} {tmp_path}/pid" if other else ""
    with pytest.raises(kind, match="no_documents_parsed"):
        run(context(tmp_path), parameters(*texts, document_timeout=1))


def test_time_in_which_the_job_itself_was_stopped_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    patience = Patience(2.5)
    now[0] = 1000.0
    assert not patience.is_over()
    now[0] = 1001.6
    assert not patience.is_over()
    now[0] = 1002.2
    assert patience.is_over()


def test_cancellation_kills_the_document_process(tmp_path: Path) -> None:
    started = tmp_path / "pid"

    def stop() -> None:
        if started.exists() and started.read_text():
            raise JobCancelled

    with pytest.raises(JobCancelled):
        run(context(tmp_path, stop), parameters("text", f"HANG {started}"))
    assert not psutil.pid_exists(int(started.read_text()))
    assert list((tmp_path / "job").iterdir()) == []


def test_cancellation_is_looked_for_all_the_time(tmp_path: Path) -> None:
    seen: list[float] = []
    run(
        context(tmp_path, lambda: seen.append(time.monotonic())),
        parameters(f"HANG {tmp_path}/pid", "text", document_timeout=3),
    )
    assert len(seen) >= 10


def test_cancellation_before_the_first_document(tmp_path: Path) -> None:
    def stop() -> None:
        raise JobCancelled

    with pytest.raises(JobCancelled):
        run(context(tmp_path, stop), parameters("text"))


def test_document_process_dies_with_the_job(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    code = (
        "import sys; from pathlib import Path\n"
        "from samples.document_support import FakeContext\n"
        "from worker.jobs.document_processing import document_process, run, parameters\n"
        "document_process.CHILD_MODULE = 'samples.document_child_for_tests'\n"
        "documents = {'documents': [{'name': 'x', 'text': 'HANG ' + sys.argv[2]}]}\n"
        "folder = Path(sys.argv[1])\n"
        "run.run(FakeContext(folder / 'job', folder), parameters.Parameters.model_validate(documents))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(pid_file)], env=environment) as job:
        wait_for(lambda: pid_file.exists() and pid_file.read_text())
        child = psutil.Process(int(pid_file.read_text()))
        job.send_signal(signal.SIGKILL)
    psutil.wait_procs([child], timeout=30)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize("processes", [1], indirect=True)
def test_process_is_used_again_until_it_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    start = parent_side.start

    def start_and_note(module: str) -> subprocess.Popen[bytes]:
        started.append(start(module))
        return started[-1]

    monkeypatch.setattr(parent_side, "start", start_and_note)
    run(context(tmp_path), parameters("one", "two", "KILL", "four", "five"))
    assert len(started) == 2


@pytest.mark.parametrize("processes", [1], indirect=True)
def test_process_that_died_between_two_documents(tmp_path: Path) -> None:
    processes: set[psutil.Process] = set()
    older = set(psutil.Process().children())

    def kill_the_idle_process() -> None:
        """The check before the second document finds the process waiting for it."""
        work = tmp_path / "job" / "work.1.partial" / "document"
        idle = set(psutil.Process().children()) - older if work.exists() else set()
        if not processes and idle and not list(work.iterdir()):
            processes.update(idle)
            for process in idle:
                process.kill()
            wait_for(lambda: all(process.status() == psutil.STATUS_ZOMBIE for process in idle))

    result = run(context(tmp_path, kill_the_idle_process), parameters("one", "two"))
    assert (len(processes), result["processed_documents"]) == (1, 2)


def test_library_that_prints_does_no_harm(tmp_path: Path) -> None:
    assert run(context(tmp_path), parameters("PRINT and a text"))["processed_documents"] == 1


def test_all_crashed(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match=r"1\.txt: parser_crashed") as caught:
        run(context(tmp_path), parameters("KILL", "KILL"))
    assert caught.value.code == "no_documents_parsed"


def test_memory_limit(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="needs more memory"):
        run(context(tmp_path), parameters("MEMORY"))


def errors_of(result: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(error["code"], error["name"], error["stage"]) for error in result["errors"]]


@pytest.mark.parametrize("word", ["CHUNK-KILL", "CHUNK-MEMORY"])
def test_crash_while_cutting_costs_one_document(tmp_path: Path, word: str) -> None:
    result = run(context(tmp_path), parameters("first text", word, "third text"))
    assert errors_of(result) == [("chunker_crashed", "2.txt", "chunk")]
    assert (result["processed_documents"], result["total_chunks"]) == (2, 2)
    assert len(list((tmp_path / "job" / "text").iterdir())) == 2


def test_timeout_while_cutting_costs_one_document(tmp_path: Path) -> None:
    result = run(context(tmp_path), parameters(f"CHUNK-HANG {tmp_path}/pid", "text", document_timeout=3))
    assert errors_of(result) == [("document_timeout", "1.txt", "chunk")]
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_cancellation_while_cutting_kills_the_document_process(tmp_path: Path) -> None:
    started = tmp_path / "pid"

    def stop() -> None:
        if started.exists() and started.read_text():
            raise JobCancelled

    with pytest.raises(JobCancelled):
        run(context(tmp_path, stop), parameters("text", f"CHUNK-HANG {started}"))
    assert not psutil.pid_exists(int(started.read_text()))
    assert list((tmp_path / "job").iterdir()) == []


def test_all_crashed_while_cutting(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match=r"1\.txt: chunker_crashed") as caught:
        run(context(tmp_path), parameters("CHUNK-KILL"))
    assert caught.value.code == "no_documents_parsed"


def test_what_was_not_cut_when_the_job_stopped_is_told(tmp_path: Path) -> None:
    with pytest.raises(PermanentError) as caught:
        run(context(tmp_path), parameters("text", "CHUNK-KILL", "text", fail_fast=True))
    assert caught.value.code == "document_failed"
    records = support.read_lines(tmp_path / "job" / "documents.jsonl")
    assert [record["error"] and record["error"]["code"] for record in records] == [None, "chunker_crashed", "stopped"]
    assert len(list((tmp_path / "job" / "text").iterdir())) == 1


def test_learning_that_crashes_is_the_jobs_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document_process, "CHILD_MODULE", "samples.document_child_that_learns_nothing")
    with pytest.raises(PermanentError) as caught:
        run(context(tmp_path), parameters("text", chunk_strategy="semantic"))
    assert caught.value.code == "learning_failed"

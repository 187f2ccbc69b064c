"""Job types of mode `process`: real children, every verdict, and nothing left behind."""

from __future__ import annotations

import asyncio
import itertools
import logging
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
import uvloop

from jobqueue.job import Completed, Failed, Outcome, Stopped
from tests.worker.runner_support import (  # noqa: F401
    Started,
    importable_jobs,
    lives,
    nothing_leaks,
    of_type,
    outcome_of,
    pids_in,
    settings_with,
    until,
)


async def failed(tmp_path: Path, function: str, parameters: dict[str, Any] | None = None, **options: Any) -> Failed:
    outcome = await outcome_of(of_type(parameters), settings_with(tmp_path, function, **options))
    assert isinstance(outcome, Failed)
    return outcome


@pytest.mark.parametrize("function", ["sync_ok", "async_ok"])
async def test_a_child_runs_the_function_and_its_result_comes_back(tmp_path: Path, function: str) -> None:
    outcome = await outcome_of(of_type({"number": 41}), settings_with(tmp_path, function))
    assert isinstance(outcome, Completed)
    assert outcome.result["number"] == 42
    assert outcome.result["pid"] != psutil.Process().pid


async def test_the_context_tells_what_the_job_is(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, "context_facts")
    outcome = await outcome_of(of_type(), settings)
    assert isinstance(outcome, Completed)
    left = outcome.result.pop("seconds_left")
    assert 50 < left <= 60
    job_id = of_type().job_id
    assert outcome.result == {
        "job_id": job_id,
        "user_id": "ann",
        "attempt": 2,
        "fence": 77,
        "folder": str(settings.storage.jobs_dir / job_id),
        "input_root": str(tmp_path / "input"),
        "llm_base_urls": ["http://127.0.0.1:1/v1"],
        "url_rules": {
            "access": "listed",
            "origins": ["http://127.0.0.1:2"],
            "max_bytes": 3,
            "timeout_seconds": 4.5,
        },
    }
    assert (settings.storage.jobs_dir / job_id / "made.txt").exists()


async def test_an_id_that_is_no_folder_name_reaches_no_folder(tmp_path: Path) -> None:
    outcome = await outcome_of(of_type(job_id="../../escaped"), settings_with(tmp_path, "context_facts"))
    assert isinstance(outcome, Failed)
    assert outcome.error.startswith("ValueError")
    assert not (tmp_path / "escaped").exists()


async def test_what_a_job_prints_and_logs_are_lines_of_the_workers_log_with_the_jobs_fields(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)
    assert await outcome_of(of_type(), settings_with(tmp_path, "prints")) == Completed()
    assert await outcome_of(of_type(), settings_with(tmp_path, "context_facts"))
    lines = [record for record in caplog.records if record.name.startswith("worker.jobs")]
    assert {"words on stdout", "words on stderr"} < {record.message for record in lines}
    assert any("a word from the job" in record.message for record in lines)
    job = of_type()
    for record in lines:
        fields = vars(record)
        assert (fields["job_id"], fields["user_id"], fields["attempt"]) == (job.job_id, job.user_id, job.attempt)
    assert capfd.readouterr().out == ""


async def test_bad_parameters_fail_for_good_and_every_mistake_is_named(tmp_path: Path) -> None:
    outcome = await failed(tmp_path, "sync_ok", {"number": "x", "other": 1})
    assert outcome.error.startswith("InvalidParameters: number: Input should be a valid integer")
    assert "other: Extra inputs are not permitted" in outcome.error
    assert outcome.permanent


async def test_parameters_that_are_not_json_never_reach_a_child(tmp_path: Path) -> None:
    outcome = await failed(tmp_path, "sync_ok", {"number": {1}})  # type: ignore[dict-item]
    assert outcome.error.startswith("InvalidParameters: ")
    assert outcome.permanent


async def test_a_missing_function_is_the_jobs_failure(tmp_path: Path) -> None:
    assert (await failed(tmp_path, "no_such_function")).error.startswith("AttributeError: ")


async def test_an_exception_is_told_in_one_line_with_its_traceback(tmp_path: Path) -> None:
    outcome = await failed(
        tmp_path,
        "raises",
        {"choice": "value", "text": "first\nsecond\x1b[31m\ud800".encode("utf-8", "replace").decode()},
    )
    assert outcome.error == "ValueError: first second [31m?"
    assert "in raises" in outcome.detail
    assert not outcome.permanent


async def test_endless_words_are_cut(tmp_path: Path) -> None:
    outcome = await failed(tmp_path, "raises", {"choice": "value", "text": "x" * 100_000})
    assert len(outcome.error) == 1000
    assert len(outcome.detail) <= 16 * 1024


async def test_a_permanent_error_is_permanent(tmp_path: Path) -> None:
    outcome = await failed(tmp_path, "raises", {"choice": "permanent", "text": "it is gone"})
    assert (outcome.error, outcome.permanent) == ("no_such_file: it is gone", True)


@pytest.mark.parametrize(
    ("function", "choice", "error"),
    [
        ("raises", "cancelled", "JobCancelled: of its own accord"),
        ("async_raises", "cancelled", "CancelledError"),
        ("raises", "exit", "SystemExit: 3"),
        ("async_raises", "exit", "SystemExit: 3"),
        ("raises", "unspeakable", "Unspeakable: <exception str() failed>"),
        ("raises", "key", "KeyError"),
    ],
)
async def test_whatever_a_job_raises_unasked_is_a_failure(
    tmp_path: Path, function: str, choice: str, error: str
) -> None:
    assert (await failed(tmp_path, function, {"choice": choice})).error == error


@pytest.mark.parametrize(
    ("choice", "error"),
    [
        ("large", "ResultTooLarge: 1048578 bytes of 1048576 allowed"),
        ("object", "ResultNotSerializable: Type is not JSON serializable: object"),
    ],
)
async def test_results_that_no_record_can_hold(tmp_path: Path, choice: str, error: str) -> None:
    assert (await failed(tmp_path, "returns", {"choice": choice})).error == error


async def test_the_largest_result_fits(tmp_path: Path) -> None:
    outcome = await outcome_of(of_type({"choice": "fits"}), settings_with(tmp_path, "returns"))
    assert isinstance(outcome, Completed)
    assert len(outcome.result) == 1024 * 1024 - 2


@pytest.mark.parametrize(
    ("function", "parameters", "error"),
    [
        ("kills_itself", {"choice": "SIGKILL"}, "ChildCrashed: killed by SIGKILL"),
        ("kills_itself", {"choice": "SIGSEGV"}, "ChildCrashed: killed by SIGSEGV"),
        ("exits", {"choice": "hard", "number": 3}, "ChildCrashed: exited with code 3 before it answered"),
        ("exits", {"choice": "hard"}, "ChildCrashed: exited with code 0 before it answered"),
        ("exits", {"number": 4}, "SystemExit: 4"),
    ],
)
async def test_a_child_that_dies_is_told_from_one_that_answers(
    tmp_path: Path, function: str, parameters: dict[str, Any], error: str
) -> None:
    outcome = await failed(tmp_path, function, parameters)
    assert outcome.error == error
    if function == "kills_itself":
        assert "famous last words" in outcome.detail
    if parameters.get("choice") == "SIGSEGV":
        assert "in kills_itself" in outcome.detail


@pytest.mark.parametrize("function", ["allocates", "allocates_in_grandchild"])
async def test_api_O3_memory_is_that_of_the_whole_tree_and_has_a_limit(tmp_path: Path, function: str) -> None:
    outcome = await failed(tmp_path, function, memory_limit_mb=120)
    words = outcome.error.split()
    assert words[:2] == ["MemoryLimitExceeded:", "used"]
    assert words[3:] == ["MB", "of", "120", "MB", "allowed"]
    assert int(words[2]) > 120


@pytest.mark.parametrize("function", ["progresses", "async_progresses"])
async def test_progress_comes_at_most_four_times_a_second_and_the_last_note_always(
    tmp_path: Path, function: str
) -> None:
    started = Started(of_type(), settings_with(tmp_path, function))
    assert await started.outcome() == Completed()
    times, notes = zip(*started.notes, strict=True)
    assert all(later - earlier >= 0.24 for earlier, later in itertools.pairwise(times[:-1]))
    assert len(notes) <= 6
    assert (notes[-1].fraction, notes[-1].step, notes[-1].total) == (1.0, "last", 1000)
    assert notes[0].token == of_type().token


async def test_a_note_is_seen_while_the_job_is_silent(tmp_path: Path) -> None:
    started = Started(of_type(), settings_with(tmp_path, "notes_once_and_waits"))
    await until(lambda: bool(started.notes) and started.notes[-1][1].step == "waiting", "the newest note came")
    await until(started.folder.exists, "it waits for a file")
    (started.folder / "go").touch()
    assert await started.outcome() == Completed()


async def test_a_thread_left_behind_does_not_keep_the_slot(tmp_path: Path) -> None:
    assert await outcome_of(of_type(), settings_with(tmp_path, "leaves_a_thread")) == Completed("done")


async def test_signals_to_all_processes_are_not_for_jobs(tmp_path: Path) -> None:
    assert await outcome_of(of_type(), settings_with(tmp_path, "survives_signals")) == Completed("alive")


@pytest.mark.parametrize("function", ["ends_its_helper", "ends_its_fork"])
async def test_a_job_can_end_its_own_helpers(tmp_path: Path, function: str) -> None:
    assert await outcome_of(of_type(), settings_with(tmp_path, function)) == Completed(-15)


async def test_a_machine_without_room_for_a_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    outcome = await failed(tmp_path, "sync_ok")
    assert outcome.error.startswith("ChildNotStarted: ")


async def test_many_at_once(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, "sync_ok")
    outcomes = await asyncio.gather(*(outcome_of(of_type({"number": n}, job_id=f"j{n}"), settings) for n in range(6)))
    assert [outcome.result["number"] for outcome in outcomes if isinstance(outcome, Completed)] == [1, 2, 3, 4, 5, 6]


def test_the_same_under_uvloop(tmp_path: Path) -> None:
    async def main() -> list[Outcome | None]:
        crash = outcome_of(of_type({"choice": "SIGSEGV"}, job_id="a"), settings_with(tmp_path, "kills_itself"))
        stopped = Started(of_type(job_id="b"), settings_with(tmp_path, "ignores", cancel_grace_seconds=0.1))
        returned = outcome_of(of_type({"choice": "none"}, job_id="c"), settings_with(tmp_path, "returns"))
        await stopped.noted()
        stopped.run.cancel()
        return [await crash, await stopped.outcome(), await returned]

    crashed, stopped, completed = uvloop.run(main())
    assert isinstance(crashed, Failed)
    assert crashed.error == "ChildCrashed: killed by SIGSEGV"
    assert (stopped, completed) == (Stopped(), Completed())

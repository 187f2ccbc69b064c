"""Job types of mode `async`, which run in the worker's own loop."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest

from jobqueue.job import Completed, Failed, Outcome, Released, Stopped
from tests.worker.runner_support import (  # noqa: F401
    Started,
    claimed,
    importable_jobs,
    nothing_leaks,
    of_type,
    outcome_of,
    plain,
    settings_with,
    until,
)


async def test_a_job_type_runs_in_this_process(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, "async_context_facts", "async")
    outcome = await outcome_of(of_type(), settings)
    assert isinstance(outcome, Completed)
    assert outcome.result["folder"] == str(settings.storage.jobs_dir / of_type().job_id)
    assert (outcome.result["attempt"], outcome.result["fence"], outcome.result["user_id"]) == (2, 77, "ann")
    assert 50 < outcome.result["seconds_left"] <= 60


async def test_a_record_of_a_job_type_carries_its_id_in_logs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    await outcome_of(of_type(), settings_with(tmp_path, "async_context_facts", "async"))
    (record,) = (record for record in caplog.records if record.message == "a word from the job")
    assert (record.name, record.__dict__["job_id"]) == ("worker.jobs.tested", of_type().job_id)


@pytest.mark.parametrize(
    ("function", "parameters", "error"),
    [
        ("async_ok", {"number": "x"}, "InvalidParameters: number: Input should be a valid integer"),
        ("sync_ok", {}, "FunctionNotAsync: jobs_for_tests:sync_ok must be a coroutine function in mode async"),
        ("nothing", {}, "AttributeError: module 'jobs_for_tests' has no attribute 'nothing'"),
        ("async_raises", {"choice": "value", "text": "x"}, "ValueError: x"),
        ("async_raises", {"choice": "permanent", "text": "x"}, "no_such_file: x"),
        ("async_raises", {"choice": "exit"}, "SystemExit: 3"),
        ("async_raises", {"choice": "unspeakable"}, "Unspeakable: <exception str() failed>"),
        ("async_raises", {"choice": "cancelled"}, "CancelledError: the job ended as cancelled, but nobody had asked"),
        ("async_returns", {"choice": "large"}, "ResultTooLarge: 1048578 bytes of 1048576 allowed"),
        ("async_returns", {"choice": "object"}, "ResultNotSerializable: Type is not JSON serializable: object"),
    ],
)
async def test_failures_of_job_types(tmp_path: Path, function: str, parameters: dict[str, Any], error: str) -> None:
    outcome = await outcome_of(of_type(parameters), settings_with(tmp_path, function, "async"))
    assert isinstance(outcome, Failed)
    assert outcome.error.startswith(error)


async def test_a_call_without_parameters_is_refused(tmp_path: Path) -> None:
    outcome = await outcome_of(of_type(args=["tested"]), settings_with(tmp_path, "async_ok", "async"))
    assert outcome is not None
    assert outcome.error == "InvalidParameters: the call must be [job_type, parameters]"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("way", "expected"), [("cancel", Stopped()), ("release", Released()), ("distrust", Released()), ("abandon", None)]
)
async def test_ways_to_stop_a_job_type(tmp_path: Path, way: str, expected: Outcome | None) -> None:
    started = Started(of_type(), settings_with(tmp_path, "async_cooperates", "async"))
    await started.noted()
    getattr(started.run, way)()
    assert await started.outcome() == expected
    assert (started.folder / "noticed").exists()


async def test_the_time_limit_of_a_job_type(tmp_path: Path) -> None:
    started = Started(of_type(timeout_seconds=0.1), settings_with(tmp_path, "async_cooperates", "async"))
    assert await started.outcome() == Failed("JobTimeout: did not finish within 0.1 s")
    assert (started.folder / "noticed").exists()


@pytest.mark.parametrize(
    ("way", "expected"), [("cancel", Stopped()), ("release", Released()), ("distrust", Released()), ("abandon", None)]
)
async def test_a_stuck_job_type_holds_up_nobody(tmp_path: Path, way: str, expected: Outcome | None) -> None:
    started = Started(of_type(), settings_with(tmp_path, "async_ignores", "async", cancel_grace_seconds=0.1))
    await started.noted()
    getattr(started.run, way)()
    assert await started.outcome() == expected
    assert started.run.stuck
    (started.folder / "go").touch()
    await until((started.folder / "went").exists, "it ended in the end")


async def test_a_stuck_job_type_past_its_time_limit_fails(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, "async_ignores", "async", cancel_grace_seconds=0.1)
    started = Started(of_type(timeout_seconds=0.1), settings)
    assert await started.outcome() == Failed("JobTimeout: did not finish within 0.1 s")
    assert started.run.stuck
    (started.folder / "go").touch()
    await until((started.folder / "went").exists, "it ended in the end")


async def test_cancelling_the_task_around_a_job_type_ends_the_job(tmp_path: Path) -> None:
    started = Started(of_type(), settings_with(tmp_path, "async_cooperates", "async"))
    await started.noted()
    started.run._context.cancelled = True  # type: ignore[union-attr]
    started.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await started.outcome()
    assert (started.folder / "noticed").exists()


async def test_progress_from_a_thread_of_a_job_type(tmp_path: Path) -> None:
    started = Started(of_type(), settings_with(tmp_path, "async_progresses", "async"))
    assert await started.outcome() == Completed()
    times, notes = zip(*started.notes, strict=True)
    assert all(later - earlier >= 0.24 for earlier, later in itertools.pairwise(times[:-1]))
    assert 3 <= len(notes) <= 5
    assert (notes[-1].fraction, notes[-1].step, notes[-1].done, notes[-1].total) == (1.0, "last", notes[-1].done, 1000)

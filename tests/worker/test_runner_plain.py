"""Plain functions, called as stored: coroutine functions in the worker's loop, others in threads."""

from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import worker.stopping
from jobqueue.job import Claimed, Completed, Failed, Outcome, Released, Stopped
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
from worker.job_runner import JobRun


@pytest.fixture
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker.stopping, "PLAIN_GRACE_SECONDS", 0.1)


def steps() -> list[str]:
    return sys.modules["plain_for_tests"].steps  # type: ignore[no-any-return]


def may_end() -> threading.Event:
    return sys.modules["plain_for_tests"].may_end  # type: ignore[no-any-return]


async def begun(job: Claimed, folder: Path) -> Started:
    """A plain function that says when it has started."""
    started = Started(job, settings_with(folder))
    await until(lambda: "started" in steps(), "the function runs")
    return started


async def failed(job: Claimed, folder: Path) -> Failed:
    outcome = await outcome_of(job, settings_with(folder))
    assert isinstance(outcome, Failed)
    return outcome


@pytest.mark.parametrize(
    ("job", "result"),
    [
        (plain("plain_async"), None),
        (plain("plain_async", 1, "x", kwargs={"k": 2}), [[1, "x"], {"k": 2}]),
        (plain("plain_waits"), "waited"),
        (plain("plain_sync", 1, kwargs={"k": 2}), [[1], {"k": 2}, False]),
        (plain("plain_wrapped"), "waited"),
        (plain("plain_returns", "tuple"), (1, 2)),
        (plain("plain_returns", "object"), "Unserializable return value"),
        (plain("plain_returns", "surrogate"), "Unserializable return value"),
        (plain("plain_returns", "keys"), "Unserializable return value"),
        (plain("plain_returns", "set"), "Unserializable return value"),
        (plain("plain_returns", "set", serializer="pickle"), {1}),
        (plain("plain_waits", job_type="not_configured"), "waited"),
    ],
)
async def test_a_plain_function_is_called_as_stored(tmp_path: Path, job: Claimed, result: Any) -> None:
    assert await outcome_of(job, settings_with(tmp_path)) == Completed(result)


@pytest.mark.parametrize("name", ["os.system", "subprocess.run", "", "plain_for_tests", "worker.rq_entry.run_job"])
async def test_what_is_not_allowed_does_not_run(tmp_path: Path, name: str) -> None:
    outcome = await failed(claimed(name, "true"), tmp_path)
    assert outcome.error == f"FunctionNotAllowed: {name} is not in worker.allowed_functions"
    assert outcome.permanent


async def test_what_is_not_allowed_is_not_even_imported(tmp_path: Path) -> None:
    assert "this" not in sys.modules
    await failed(claimed("this.d"), tmp_path)
    assert "this" not in sys.modules


@pytest.mark.parametrize("name", ["os.system", "subprocess.run", "Path.cwd", "__dict__.get", "x y", ".plain_async"])
async def test_an_allowed_module_is_no_way_to_what_it_imports(tmp_path: Path, name: str) -> None:
    assert isinstance(await failed(plain(name, "true"), tmp_path), Failed)


@pytest.mark.parametrize(
    ("job", "error"),
    [
        (claimed("nothing.here"), "ModuleNotFoundError: No module named 'nothing'"),
        (plain("nothing_here"), "AttributeError: module 'plain_for_tests' has no attribute 'nothing_here'"),
        (plain("HERE"), "AttributeError: module 'plain_for_tests' has no attribute 'HERE'"),
        (plain("NO_FUNCTION"), "FunctionNotFound: plain_for_tests.NO_FUNCTION cannot be called"),
        (plain("plain_raises", "value"), "ValueError: of a plain function"),
        (plain("plain_raises", "permanent"), "no_such_file: of a plain function"),
        (plain("plain_raises", "exit"), "SystemExit: 3"),
        (plain("plain_raises", "unspeakable"), "Unspeakable: <exception str() failed>"),
        (plain("plain_raises"), "TypeError: plain_raises() missing 1 required positional argument: 'choice'"),
        (
            plain("plain_raises", "cancelled"),
            "CancelledError: the job ended as cancelled, but nobody had asked it to stop",
        ),
        (plain("plain_async", decode_error="the pickle is damaged"), "DecodeError: the pickle is damaged"),
    ],
)
async def test_every_failure_is_told_in_words(tmp_path: Path, job: Claimed, error: str) -> None:
    assert (await failed(job, tmp_path)).error == error


async def test_a_function_that_ends_at_once_costs_no_task_and_no_timer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_with(tmp_path)
    run = JobRun(plain("plain_async", 1), settings, lambda note: None)
    loop = asyncio.get_running_loop()
    for name in ("create_task", "call_later", "call_at", "call_soon", "create_future", "run_in_executor"):
        monkeypatch.setattr(loop, name, None)
    outcome = await run.run()
    monkeypatch.undo()
    assert outcome == Completed([[1], {}])


async def test_cancel_lets_a_function_clean_up(tmp_path: Path) -> None:
    started = await begun(plain("plain_sleeps"), tmp_path)
    started.run.cancel()
    assert await started.outcome() == Stopped()
    assert steps() == ["started", "cleaned up"]
    assert not started.run.stuck


async def test_the_task_around_a_cancelled_run_goes_on(tmp_path: Path) -> None:
    async def slot() -> tuple[Outcome | None, int]:
        outcome = await run.run()
        await asyncio.sleep(0)
        current = asyncio.current_task()
        assert current is not None
        return outcome, current.cancelling()

    run = JobRun(plain("plain_sleeps"), settings_with(tmp_path), lambda note: None)
    task = asyncio.create_task(slot(), name="slot")
    await until(lambda: "started" in steps(), "the function runs")
    run.cancel()
    assert await task == (Stopped(), 0)


@pytest.mark.parametrize(
    ("way", "expected"), [("cancel", Stopped()), ("release", Released()), ("distrust", Released()), ("abandon", None)]
)
@pytest.mark.parametrize("function", ["plain_sleeps", "plain_returns_when_cancelled"])
async def test_ways_to_stop_a_plain_function(tmp_path: Path, way: str, expected: Outcome | None, function: str) -> None:
    started = await begun(plain(function), tmp_path)
    getattr(started.run, way)()
    assert await started.outcome() == expected


@pytest.mark.parametrize("way", ["cancel", "release", "distrust", "abandon"])
async def test_a_run_stopped_before_it_began_does_nothing(tmp_path: Path, way: str) -> None:
    started = Started(plain("plain_sleeps"), settings_with(tmp_path))
    getattr(started.run, way)()
    assert not isinstance(await started.outcome(), Completed | Failed)
    assert steps() == []


async def test_stopping_a_run_that_has_ended_does_nothing(tmp_path: Path) -> None:
    started = Started(plain("plain_waits"), settings_with(tmp_path))
    assert await started.outcome() == Completed("waited")
    started.run.distrust()
    started.run.cancel()
    started.run.abandon()
    assert not started.run.stuck


async def test_the_time_limit_of_a_plain_function(tmp_path: Path) -> None:
    started = Started(plain("plain_sleeps", timeout_seconds=0.05), settings_with(tmp_path))
    assert await started.outcome() == Failed("JobTimeout: did not finish within 0.05 s")
    assert steps() == ["started", "cleaned up"]


@pytest.mark.usefixtures("short_grace")
async def test_a_function_that_swallows_its_cancellation_is_stuck(tmp_path: Path) -> None:
    started = await begun(plain("plain_ignores"), tmp_path)
    started.run.cancel()
    await until(lambda: "swallowed" in steps(), "it swallowed the cancellation")
    assert not started.run.stuck
    assert await started.outcome() == Stopped()
    assert started.run.stuck
    may_end().set()


@pytest.mark.usefixtures("short_grace")
async def test_a_stuck_function_past_its_time_limit_fails(tmp_path: Path) -> None:
    started = Started(plain("plain_ignores", timeout_seconds=0.05), settings_with(tmp_path))
    assert await started.outcome() == Failed("JobTimeout: did not finish within 0.05 s")
    assert started.run.stuck
    may_end().set()


async def test_cancelling_the_runs_own_task_is_passed_on(tmp_path: Path) -> None:
    started = await begun(plain("plain_sleeps"), tmp_path)
    started.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await started.outcome()
    assert steps() == ["started", "cleaned up"]


async def test_a_thread_is_waited_for_when_it_is_cancelled(tmp_path: Path) -> None:
    started = await begun(plain("plain_thread"), tmp_path)
    started.run.cancel()
    may_end().set()
    assert await started.outcome() == Stopped()
    assert not started.run.stuck


@pytest.mark.usefixtures("short_grace")
async def test_a_thread_that_does_not_end_is_stuck(tmp_path: Path) -> None:
    started = await begun(plain("plain_thread", timeout_seconds=0.05), tmp_path)
    assert await started.outcome() == Failed("JobTimeout: did not finish within 0.05 s")
    assert started.run.stuck
    may_end().set()

"""Stopping a child: asked, forced, frozen, and always the whole tree of its processes."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import psutil
import pytest

from jobqueue.job import Completed, Failed, Outcome, Released, Stopped
from tests.worker.runner_support import (  # noqa: F401
    Started,
    children,
    importable_jobs,
    lives,
    nothing_leaks,
    of_type,
    outcome_of,
    pids_in,
    settings_with,
    until,
)


async def test_the_time_limit_asks_first(tmp_path: Path) -> None:
    started = Started(of_type(timeout_seconds=1), settings_with(tmp_path, "cooperates", cancel_grace_seconds=30))
    assert await started.outcome() == Failed("JobTimeout: did not finish within 1 s")
    assert (started.folder / "noticed").exists()


async def test_the_time_limit_kills_after_the_grace(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, "ignores", cancel_grace_seconds=0.2)
    assert await outcome_of(of_type(timeout_seconds=1), settings) == Failed("JobTimeout: did not finish within 1 s")


@pytest.mark.parametrize("function", ["cooperates", "async_cooperates"])
async def test_cancel_is_noticed_by_the_job(tmp_path: Path, function: str) -> None:
    started = Started(of_type(), settings_with(tmp_path, function, cancel_grace_seconds=30))
    await started.noted()
    started.run.cancel()
    started.run.cancel()
    assert await started.outcome() == Stopped()
    assert (started.folder / "noticed").exists()
    assert not started.run.stuck


@pytest.mark.parametrize("function", ["ignores", "spins", "async_ignores"])
async def test_a_job_that_ignores_cancel_is_killed_after_the_grace(tmp_path: Path, function: str) -> None:
    started = Started(of_type(), settings_with(tmp_path, function, cancel_grace_seconds=0.3))
    await started.noted()
    asked_at = time.monotonic()
    started.run.cancel()
    assert await started.outcome() == Stopped()
    assert 0.3 <= time.monotonic() - asked_at < 2


@pytest.mark.parametrize(("way", "expected"), [("release", Released()), ("abandon", None)])
async def test_release_and_abandon_do_not_wait_for_the_grace(
    tmp_path: Path, way: str, expected: Outcome | None
) -> None:
    started = Started(of_type(), settings_with(tmp_path, "ignores", cancel_grace_seconds=600))
    await started.noted()
    getattr(started.run, way)()
    assert await started.outcome(5) == expected


async def test_the_first_decision_stands_and_only_a_lost_lease_overrules_it(tmp_path: Path) -> None:
    settings = settings_with(tmp_path, "ignores", cancel_grace_seconds=600)
    cancelled, lost = Started(of_type(), settings), Started(of_type(), settings)
    await cancelled.noted()
    await lost.noted()
    for started in (cancelled, lost):
        started.run.cancel()
    cancelled.run.release()
    lost.run.abandon()
    lost.run.cancel()
    assert await cancelled.outcome() == Stopped()
    assert await lost.outcome() is None


@pytest.mark.parametrize(("way", "expected"), [("cancel", Stopped()), ("release", Released()), ("abandon", None)])
async def test_stopping_a_child_that_has_only_just_started(tmp_path: Path, way: str, expected: Outcome | None) -> None:
    settings = settings_with(tmp_path, "ignores", cancel_grace_seconds=600)
    before_it_runs = Started(of_type(), settings)
    getattr(before_it_runs.run, way)()
    assert await before_it_runs.outcome() == expected
    in_the_start = Started(of_type(), settings)
    await until(lambda: bool(children()), "the guard was started")
    getattr(in_the_start.run, way)()
    assert await in_the_start.outcome() == expected
    assert in_the_start.notes == []


def _states(started: Started) -> set[str]:
    (guard,) = children()
    return {process.status() for process in guard.children(recursive=True)}


async def test_a_job_stands_still_while_its_lease_is_not_trusted(tmp_path: Path) -> None:
    started = Started(of_type(), settings_with(tmp_path, "spins"))
    counter = started.folder / "counter"
    await until(counter.exists, "it counts")
    started.run.trust(0.0)
    await until(lambda: _states(started) == {psutil.STATUS_STOPPED}, "all its processes are stopped")
    at = counter.read_text()
    # The time that another job takes from start to end is enough to count on.
    assert await outcome_of(of_type(job_id="other"), settings_with(tmp_path)) is not None
    assert counter.read_text() == at
    started.run.trust(float("inf"))
    await until(lambda: counter.read_text() not in ("", at), "it counts on")
    started.run.abandon()
    assert await started.outcome() is None


async def test_a_job_that_stands_still_can_be_killed(tmp_path: Path) -> None:
    started = Started(of_type(), settings_with(tmp_path, "spins", cancel_grace_seconds=0.1))
    await started.noted()
    started.run.trust(0.0)
    started.run.cancel()
    assert await started.outcome() == Stopped()


async def test_a_job_without_trust_before_its_child_is_ready_does_not_begin(tmp_path: Path) -> None:
    started = Started(of_type(), settings_with(tmp_path, "cooperates"))
    await until(lambda: bool(children()), "the guard was started")
    started.run.trust(0.0)
    assert await outcome_of(of_type(job_id="other"), settings_with(tmp_path)) is not None
    assert started.notes == []
    started.run.trust(float("inf"))
    await started.noted()
    started.run.cancel()
    assert await started.outcome() == Stopped()


async def test_what_a_job_leaves_running_ends_with_it(tmp_path: Path) -> None:
    started = Started(of_type(), settings_with(tmp_path, "leaves_grandchildren"))
    assert await started.outcome() == Completed()
    assert [pid for pid in pids_in(started.folder / "pids") if lives(pid)] == []


async def test_killing_reaches_the_whole_tree_in_whatever_session(tmp_path: Path) -> None:
    started = Started(of_type({"choice": "wait"}), settings_with(tmp_path, "leaves_grandchildren"))
    await until((started.folder / "pids").exists, "the tree stands")
    pids = pids_in(started.folder / "pids")
    assert all(map(lives, pids))
    started.run.release()
    assert await started.outcome() == Released()
    assert [pid for pid in pids if lives(pid)] == []


async def test_without_its_guard_a_job_ends(tmp_path: Path) -> None:
    started = Started(of_type(), settings_with(tmp_path, "kills_its_guard"))
    assert await started.outcome() == Failed("ChildCrashed: its processes were killed from outside")
    pids = pids_in(started.folder / "pids")
    await until(lambda: not any(map(lives, pids)), "job and helper have ended")


async def test_a_stopped_guard_holds_up_nobody(tmp_path: Path) -> None:
    started = Started(of_type(), settings_with(tmp_path, "ignores"))
    await started.noted()
    (guard,) = children()
    guard.suspend()
    started.run.release()
    assert await started.outcome() == Released()


async def test_cancelling_the_runs_own_task_leaves_nothing(tmp_path: Path) -> None:
    started = Started(of_type(), settings_with(tmp_path, "ignores"))
    await started.noted()
    started.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await started.outcome()
    assert children() == []

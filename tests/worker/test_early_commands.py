"""Commands that overtake the answer in which the worker hears of the job that they are about."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any, cast

import pytest

import worker.slots
from jobqueue.job import Completed, Halted, Outcome, Stopped
from jobqueue.signals import WorkerChannel
from tests.worker.runner_support import importable_jobs, nothing_leaks, plain, settings_with  # noqa: F401
from worker.cancel_listener import CancelListener
from worker.slots import Slots

JOB = plain("plain_waits")
TOKEN = {"job_id": JOB.job_id, "execution_id": JOB.execution_id}


@pytest.fixture
async def slots(tmp_path: Path) -> Slots:
    return Slots(settings_with(tmp_path))


def obey(slots: Slots, command: str, **told: str) -> None:
    nobody = cast(WorkerChannel, None)
    listener = CancelListener(nobody, slots, offer=_nothing, shut_down=_nothing, drain=_nothing)
    listener._obey({"command": command, **told})


def _nothing() -> None:
    pass


async def outcome(slots: Slots) -> Outcome:
    slots.start(JOB, time.monotonic())
    async with asyncio.timeout(5):
        await slots.wait_all()
    (ended,) = slots.take_ended(1, 1)
    return ended.outcome


@pytest.mark.parametrize(
    ("command", "told", "expected"),
    [
        ("stop-job", {"job_id": JOB.job_id}, Halted()),
        ("stop-execution", TOKEN, Halted()),
        ("cancel-execution", TOKEN, Stopped()),
        ("stop-job", {"job_id": "another"}, Completed("waited")),
        ("stop-execution", TOKEN | {"execution_id": "of-before"}, Completed("waited")),
    ],
)
async def test_a_command_waits_for_a_job_that_a_claim_brings(
    slots: Slots, command: str, told: dict[str, Any], expected: Outcome
) -> None:
    slots.reserve(1)
    obey(slots, command, **told)
    slots.unreserve(1)
    assert await outcome(slots) == expected


async def test_without_a_claim_under_way_there_is_no_such_job(slots: Slots) -> None:
    obey(slots, "stop-job", job_id=JOB.job_id)
    assert await outcome(slots) == Completed("waited")


async def test_a_command_waits_for_one_execution_and_not_for_long(
    slots: Slots, monkeypatch: pytest.MonkeyPatch
) -> None:
    slots.reserve(1)
    obey(slots, "stop-job", job_id=JOB.job_id)
    assert await outcome(slots) == Halted()
    assert await outcome(slots) == Completed("waited")
    monkeypatch.setattr(worker.slots, "EARLY_SECONDS", 0.0)
    obey(slots, "stop-job", job_id=JOB.job_id)
    assert await outcome(slots) == Completed("waited")

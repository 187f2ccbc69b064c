"""What the jobs of the tests against stock RQ do; workers of both kinds import it."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import redis
from rq import Retry, get_current_job
from rq.job import Job

# The longest that a job waits for its test.
MOST_STEPS = 3000


def add(a: Any, b: Any = 0) -> Any:
    return a + b


def echo(*args: Any, **kwargs: Any) -> int:
    """Takes whatever it is given."""
    return len(args) + len(kwargs)


def fail(text: str = "no") -> None:
    raise ValueError(text)


async def later(a: int, b: int) -> int:
    await asyncio.sleep(0)
    return a + b


def nothing() -> None:
    return None


def unserializable() -> Any:
    return lambda: None


async def endless() -> None:
    await asyncio.sleep(60)


async def hold(gate: str, answer: Any = None) -> Any:
    """Until the file is there."""
    for _ in range(MOST_STEPS):
        if os.path.exists(gate):  # noqa: ASYNC240
            break
        await asyncio.sleep(0.01)
    return answer


async def hold_and_tell(gate: str) -> Any:
    """Its first step leaves a trace."""
    note(f"{gate}.seen", "start")
    return await hold(gate)


def hold_still(gate: str, end: str = "") -> str:
    """The same without a loop: for workers that run a job in their main thread. `end`: how it ends."""
    note(f"{gate}.seen", "start")
    for _ in range(MOST_STEPS):
        if Path(gate).exists():
            break
        time.sleep(0.01)
    if end == "raise":
        raise ValueError("no")
    return end


def note(file: str, what: str) -> None:
    """One line, written in one piece."""
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, f"{what} {time.time():.6f}\n".encode())
    os.close(descriptor)


def short(file: str, number: int, seconds: float = 0.01) -> int:
    note(file, f"start {number}")
    time.sleep(seconds)
    note(file, f"end {number}")
    return number


def try_again() -> Retry:
    return Retry(max=1)


def who_am_i() -> str:
    """As code written for RQ does it."""
    job = get_current_job()
    assert job is not None
    job.meta["step"] = "half"
    job.save_meta()
    return str(job.id)


async def who_am_i_async() -> str:
    await asyncio.sleep(0)
    return who_am_i()


def on_success(job: Job, connection: redis.Redis, result: Any) -> None:
    connection.set(f"called:{job.id}", f"success {result}")


def on_failure(job: Job, connection: redis.Redis, kind: type, value: BaseException, trace: Any) -> None:
    connection.set(f"called:{job.id}", f"failure {kind.__name__} {value}")


def on_stopped(job: Job, connection: redis.Redis) -> None:
    connection.set(f"called:{job.id}", "stopped")


def on_success_fail(job: Job, connection: redis.Redis, result: Any) -> None:
    raise ValueError("the callback fails")


def try_again_in(seconds: int) -> Retry:
    return Retry(max=2, interval=seconds)

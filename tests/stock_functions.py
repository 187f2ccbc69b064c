"""What stock producers ask for in the tests, by dotted names."""

from __future__ import annotations

import asyncio
from typing import Any

import redis
from rq import get_current_job
from rq.job import Job, Retry


def add(one: int, other: int = 0) -> int:
    return one + other


async def add_later(one: int, other: int = 0) -> int:
    return one + other


def break_down() -> None:
    raise ValueError("it broke")


def current_id() -> str | None:
    job = get_current_job()
    return job.id if job else None


async def current_id_later() -> str | None:
    return current_id()


def note_meta() -> None:
    job = get_current_job()
    assert job is not None
    job.meta["seen"] = True
    job.save_meta()


def ask_again(most: int, intervals: list[int] | int = 0) -> Retry:
    return Retry(most, intervals)


class Tool:
    def __init__(self, factor: int) -> None:
        self.factor = factor

    def times(self, number: int) -> int:
        return self.factor * number

    def __call__(self, number: int) -> int:
        return self.factor + number

    @staticmethod
    def double(number: int) -> int:
        return 2 * number


def told(job: Job, connection: redis.Redis, *args: Any) -> None:
    """A callback: leaves what it was called with."""
    connection.rpush(f"told:{job.id}", job.get_status(refresh=False) or "", *(repr(arg) for arg in args[:2]))


def refuse(job: Job, connection: redis.Redis, *args: Any) -> None:
    raise RuntimeError("the callback broke")


waiting = asyncio.Event()


async def wait_long() -> None:
    waiting.set()
    await asyncio.sleep(60)

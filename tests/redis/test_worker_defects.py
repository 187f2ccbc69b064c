"""What a worker does when one of its own parts fails, or Redis refuses what it reports."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import ValkeyServer, eventually, settings_for

from jobqueue import JobQueue, NewJob
from jobqueue.consumer import Consumer, Lane
from jobqueue.errors import ScriptError
from worker.worker import Worker


async def quick(n: int) -> int:
    return n


async def waits() -> None:
    await asyncio.Event().wait()


def job(function: str, *args: Any, user: str = "ann") -> NewJob:
    return NewJob(job_id=str(uuid.uuid4()), function=f"{__name__}.{function}", args=args, user_id=user)


@pytest.fixture
async def queue(valkey: ValkeyServer, tmp_path: Path) -> AsyncIterator[JobQueue]:
    allowed = {"JOBQUEUE_WORKER_ALLOWED_FUNCTIONS": f"{__name__}.*"}
    opened = await JobQueue.open(settings_for(valkey.url, tmp_path, **allowed), name="w")
    yield opened
    await opened.close()


@asynccontextmanager
async def working(queue: JobQueue) -> AsyncIterator[tuple[Worker, asyncio.Task[int]]]:
    worker = Worker(queue, queue.settings)
    task = asyncio.create_task(worker.run(), name="worker")
    try:
        yield worker, task
    finally:
        worker.stop()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_batch_that_redis_refuses_is_reported_one_by_one(
    queue: JobQueue, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The one that cannot be recorded is left to the rescue, the others are not held up."""
    bad, good = job("quick", 1, user="bad"), [job("quick", n, user=f"u{n}") for n in range(3)]
    repeat, finish = Lane.repeat, Consumer.finish

    async def refused_repeat(lane: Lane) -> Any:
        assert lane._open is not None
        if bad.job_id in lane._open[1]:
            raise ScriptError("ERR damaged")
        return await repeat(lane)

    async def refused_finish(consumer: Consumer, ended: Any) -> Any:
        if any(entry.job.job_id == bad.job_id for entry in ended):
            raise ScriptError("ERR damaged")
        return await finish(consumer, ended)

    monkeypatch.setattr(Lane, "repeat", refused_repeat)
    monkeypatch.setattr(Consumer, "finish", refused_finish)
    await queue.producer.enqueue_many([bad, *good])
    async with working(queue):

        async def others_are_done() -> bool:
            found = await queue.inspector.get_many([entry.job_id for entry in good])
            return {entry.state for entry in found if entry} == {"completed"}

        await eventually(others_are_done, "the others are completed")
        await eventually(lambda: _is(lambda: "cannot be recorded" in caplog.text), "the bad one is told")
    assert (await queue.inspector.get(bad.job_id)).state == "running"
    monkeypatch.undo()
    await queue.namespace.run("remove_worker", {"worker": "w", "silence": 0})


async def _is(condition: Any) -> bool:
    return bool(condition())


async def test_a_worker_that_fails_gives_its_jobs_back(queue: JobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = job("waits")
    await queue.producer.enqueue(waiting)
    async with working(queue) as (worker, task):

        async def runs() -> bool:
            return (await queue.inspector.get(waiting.job_id)).state == "running"

        await eventually(runs, "the job runs")

        def fail() -> bool:
            raise RuntimeError("a defect")

        monkeypatch.setattr(worker.claim_loop, "_wants_jobs", fail)
        worker.claim_loop.offer()
        with pytest.raises(ExceptionGroup, match="unhandled errors"):
            await asyncio.wait_for(asyncio.shield(task), 10)
        assert (await queue.inspector.get(waiting.job_id)).state == "pending"
    assert "lease-keeper" not in {thread.name for thread in threading.enumerate()}
    assert (await queue.inspector.stats()).workers == ()

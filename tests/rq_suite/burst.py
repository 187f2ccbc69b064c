"""RQ's `work(burst, max_jobs)`, done by our whole worker: it runs until nothing is left or enough has begun.

With neither it runs until somebody tells it to stop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any, Final
from unittest.mock import patch

import worker.claim_loop
from jobqueue import Batch, Claimed, JobQueue, Lane
from jobqueue.config import Settings
from worker.resolve import plain_function
from worker.worker import Worker

LONGEST_SECONDS: Final = 20
MOST_TICKS: Final = 50


def settings_for(url: str, queues: Sequence[str], result_ttl: int, function_mode: str) -> Settings:
    """Limits in nobody's way, and hardly any ticks by the worker itself: what runs when is the same each time."""
    return Settings.model_validate(
        {
            "redis": {"url": url},
            "limits": {"total": 1_000_000, "per_user": 1_000_000},
            "server": {"tick_seconds": 0.001},
            "queue": {"eager_executions": True},
            "worker": {
                "concurrency": 1,
                "queues": list(queues),
                "pickle": "trusted",
                "allowed_functions": ["*"],
                "function_mode": function_mode,
                "default_result_ttl_seconds": result_ttl,
                "tick_seconds": 5,
                "shutdown_grace_seconds": LONGEST_SECONDS,
            },
        }
    )


def work(
    url: str, name: str, queues: Sequence[str], *, burst: bool, most: int | None, result_ttl: int, function_mode: str
) -> bool:
    """Blocks; True when a job was run. Stops after `most` jobs; with `burst` or `most` when there are no more."""
    # Tests put other functions under the names of those that ran before.
    plain_function.cache_clear()
    settings = settings_for(url, queues, result_ttl, function_mode)
    return asyncio.run(_work(settings, name, most, endless=not burst and most is None))


async def _work(settings: Settings, name: str, most: int | None, *, endless: bool) -> bool:
    queue = await JobQueue.open(settings, name=name)
    try:
        async with asyncio.timeout(LONGEST_SECONDS):
            burst = Burst(queue, settings, most)
            await (burst.run() if endless else burst.run_dry())
            await settle(queue)
    finally:
        await queue.close()
    return burst.started > 0


async def settle(queue: JobQueue) -> None:
    """Index, dependents and what is due: everything that our background duties would do soon."""
    for _ in range(MOST_TICKS):
        if not (await queue.maintenance.tick()).more:
            return
    raise AssertionError("the tick finds work without end")


class WatchedLane(Lane):
    """Tells what each call brought, and in which round it was sent."""

    def __init__(self, burst: Burst, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._burst = burst

    async def repeat(self) -> Batch:
        sent_in = self._burst.round
        batch = await super().repeat()
        self._burst.learn(batch, sent_in)
        return batch


class Burst:
    """`started`: how many jobs have begun. A round ends with a claim, sent in it, that finds nothing."""

    def __init__(self, queue: JobQueue, settings: Settings, most: int | None) -> None:
        self._queue = queue
        self._most = most
        self.started = 0
        self.round = 0
        self._short = asyncio.Event()
        with patch.object(worker.claim_loop, "Lane", partial(WatchedLane, self)):
            self._worker = Worker(queue, settings)
        self._start = self._worker.slots.start
        self._worker.slots.start = self._count  # type: ignore[method-assign]

    async def run(self) -> None:
        await self._worker.run()

    async def run_dry(self) -> None:
        async with asyncio.TaskGroup() as group:
            steering = group.create_task(self._steer(), name="steer")
            await self.run()
            steering.cancel()

    def learn(self, batch: Batch, sent_in: int) -> None:
        if batch.shortage and sent_in == self.round:
            self._short.set()

    def _count(self, job: Claimed, renewed_at: float) -> None:
        self._start(job, renewed_at)
        self.started += 1
        if self.started == self._most:
            self._worker.claim_loop.be_quiet()
            self._worker.stop()

    async def _steer(self) -> None:
        """What has ended may let others in at the next tick only, so look again until a round brings nothing."""
        before = -1
        while True:
            await self._short.wait()
            if self.started == before:
                self._worker.stop()
                return
            before = self.started
            await settle(self._queue)
            self.round += 1
            self._short.clear()
            self._worker.claim_loop.offer()

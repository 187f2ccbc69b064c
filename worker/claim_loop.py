"""Claims jobs for free slots and reports what ended: two lanes, so that Redis and this process work at the same time.

A lane has one call in flight. It sends as soon as there is something to say; while both lanes are under way, ended jobs
gather, so batches grow with the load by themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable
from typing import Final

from jobqueue.client import JobQueue
from jobqueue.config import Settings
from jobqueue.consumer import Batch, Consumer, Ended, Lane, Shortage
from jobqueue.errors import QueueError, ScriptError, StrangeKey, UnknownWorker
from jobqueue.job import Released
from jobqueue.logs import job_fields
from jobqueue.signals import QueueWatch
from worker.slots import Slots

log = logging.getLogger(__name__)

LANES: Final = 2
MOST_PER_CALL: Final = 250
MOST_BYTES_PER_CALL: Final = 8 * 1024 * 1024
REPEAT_SECONDS: Final = 0.5
# For so long a batch waits for a cleanup to put a strange key aside.
STRANGE_SECONDS: Final = 20.0
# Without any signal a worker looks again after this long: signals may be lost, jobs may not.
LOOK_AGAIN_SECONDS: Final = 1.0
WATCH_SECONDS: Final = 5.0
PROGRESS_SECONDS: Final = 0.05
MOST_NOTES: Final = 250


class ClaimLoop:
    def __init__(self, queue: JobQueue, settings: Settings, slots: Slots, lanes: int = LANES) -> None:
        self._queue = queue
        self._settings = settings
        self._slots = slots
        self._consumer = Consumer(queue.namespace, queue.name)
        lease_us = int(settings.queue.lease_seconds * 1_000_000)
        self._lanes = [
            Lane(
                queue.namespace,
                queue.name,
                number,
                settings.worker.queues,
                lease_us,
                eager_executions=settings.queue.eager_executions,
                trust_pickles=settings.worker.pickle == "trusted",
            )
            for number in range(min(lanes, settings.worker.concurrency))
        ]
        self._share = max(1, -(-settings.worker.concurrency // len(self._lanes)))
        self._wakes = [asyncio.Event() for _ in self._lanes]
        self._busy = [False for _ in self._lanes]
        self._hungry = asyncio.Event()
        self._open_calls = 0
        self._quiet = False
        self._may_claim = True
        self._offers = 0
        self.on_draining: Callable[[], None] = lambda: None
        slots.on_ended = self.wake

    def wake(self) -> None:
        """Let one idle lane look at what there is to do; a busy one looks by itself when its answer is there."""
        for event, busy in zip(self._wakes, self._busy, strict=True):
            if not busy:
                event.set()
                return

    def offer(self) -> None:
        """There may be something to claim."""
        self._may_claim = True
        self._offers += 1
        self.wake()

    def be_quiet(self) -> None:
        """Claim nothing more; ended jobs are still reported."""
        self._quiet = True
        self.wake()

    @property
    def open_calls(self) -> int:
        """Calls whose answer has not come yet."""
        return self._open_calls

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(len(self._lanes)):
                group.create_task(self._run_lane(number), name=f"claim-lane-{number}")
            for name in self._settings.worker.queues:
                group.create_task(self._watch(name), name=f"watch-{name}")
            group.create_task(self._write_progress(), name="progress-writer")
            group.create_task(self._look_again(), name="look-again")

    async def _run_lane(self, number: int) -> None:
        wake = self._wakes[number]
        while True:
            await wake.wait()
            wake.clear()
            self._busy[number] = True
            while await self._step(self._lanes[number]):
                pass
            self._busy[number] = False

    async def _step(self, lane: Lane) -> bool:
        """One call if there is something to say; False when there was not."""
        ended = self._slots.take_ended(MOST_PER_CALL, MOST_BYTES_PER_CALL)
        want = self._slots.reserve(min(self._share, MOST_PER_CALL)) if self._wants_jobs() else 0
        if not (ended or want):
            return False
        await self._advance(lane, ended, want)
        # Jobs that this answer brought begin in the loop's next turn; those that end at once travel together.
        await asyncio.sleep(0)
        return True

    def _wants_jobs(self) -> bool:
        return self._may_claim and not self._quiet

    async def _advance(self, lane: Lane, ended: list[Ended], want: int) -> None:
        self._open_calls += 1
        offers = self._offers
        try:
            if self._slots.notes:
                with contextlib.suppress(QueueError):
                    await self._flush_notes()
            sent_at = time.monotonic()
            batch = await self._answer(lane, ended, want)
        finally:
            self._slots.unreserve(want)
            self._open_calls -= 1
        for job in batch.jobs:
            if self._quiet:
                # The answer came after the order to stop: these jobs go back before they began.
                self._slots.ended.append(Ended(job, Released()))
            else:
                self._slots.start(job, sent_at)
        self._learn(batch, want, offers)

    async def _answer(self, lane: Lane, ended: list[Ended], want: int) -> Batch:
        call = lane.advance(ended, want)
        give_up = asyncio.get_running_loop().time() + STRANGE_SECONDS
        while True:
            try:
                return await call
            except UnknownWorker:
                await self._register()
                call = lane.repeat()
            except QueueError as error:
                late = asyncio.get_running_loop().time() > give_up
                if isinstance(error, ScriptError) or (isinstance(error, StrangeKey) and late):
                    # One damaged record among many must not hold up the others, nor this lane.
                    log.error("a batch was refused, its outcomes are reported one by one: %s", error)
                    await self._report_singly(ended)
                    call = lane.advance([], want)
                else:
                    log.warning("the queue does not answer, trying again: %s", error)
                    call = lane.repeat()
                await asyncio.sleep(REPEAT_SECONDS * random.uniform(0.5, 1.5))

    async def _report_singly(self, ended: list[Ended]) -> None:
        """What is refused even so is left to the rescue, which counts how often."""
        while ended:
            try:
                await self._consumer.finish(ended[:1])
            except (ScriptError, StrangeKey) as error:
                log.error("an outcome cannot be recorded: %s", error, extra=job_fields(ended[0].job))
            except QueueError:
                await asyncio.sleep(REPEAT_SECONDS * random.uniform(0.5, 1.5))
                continue
            ended = ended[1:]

    async def _register(self) -> None:
        with contextlib.suppress(QueueError):
            await self._queue.register_worker()

    def _learn(self, batch: Batch, want: int, offers: int) -> None:
        """`offers`: how many there had been when the call was sent; a newer one is not answered by it."""
        if not want:
            return
        shortage: Shortage = batch.shortage
        if shortage and offers == self._offers:
            self._may_claim = False
        if shortage == "empty":
            self._hungry.set()
        elif shortage == "draining":
            self.on_draining()
        elif not shortage:
            self.wake()

    async def _watch(self, name: str) -> None:
        watch = QueueWatch(self._queue.url, self._queue.namespace.keys, self._queue.name, name, WATCH_SECONDS)
        try:
            while True:
                await self._hungry.wait()
                try:
                    found = await watch.wait()
                except QueueError:
                    await asyncio.sleep(REPEAT_SECONDS * random.uniform(0.5, 1.5))
                    continue
                if found:
                    self._hungry.clear()
                    self.offer()
        finally:
            await watch.close()

    async def _look_again(self) -> None:
        while True:
            await asyncio.sleep(LOOK_AGAIN_SECONDS * random.uniform(0.8, 1.2))
            if self._slots.free > 0:
                self.offer()

    async def _write_progress(self) -> None:
        while True:
            await asyncio.sleep(PROGRESS_SECONDS)
            if self._slots.notes:
                with contextlib.suppress(QueueError):
                    await self._flush_notes()

    async def _flush_notes(self) -> None:
        taken = dict(list(self._slots.notes.items())[:MOST_NOTES])
        for token in taken:
            del self._slots.notes[token]
        await self._consumer.progress(list(taken.values()))

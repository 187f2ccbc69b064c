"""The worker's composition root: what runs, in which order it stops, and with which exit code.

Stop order: claim nothing more, let jobs end within the grace, give back what is left (it does not count as an attempt),
report, unregister. A second signal skips the grace.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Awaitable, Callable
from typing import Any, Final

from jobqueue.client import JobQueue
from jobqueue.config import Settings
from jobqueue.consumer import Consumer
from jobqueue.errors import QueueError
from jobqueue.leases import LeaseRenewer
from jobqueue.maintenance import TickReport
from jobqueue.schedule_ticker import ScheduleReport
from jobqueue.signals import WorkerChannel
from jobqueue.stock import StockJobs
from worker.cancel_listener import CancelListener
from worker.claim_loop import ClaimLoop
from worker.lease_keeper import STUCK_EXIT_CODE, LeaseKeeper
from worker.slots import Slots

log = logging.getLogger(__name__)

REPORT_SECONDS: Final = 10.0
LEFT_OVER_SECONDS: Final = 5.0


class Worker:
    def __init__(self, queue: JobQueue, settings: Settings) -> None:
        self._queue = queue
        self._settings = settings
        self._stock_jobs = StockJobs(queue.url, queue.namespace)
        self.slots = Slots(settings, self._stock_jobs)
        self.claim_loop = ClaimLoop(queue, settings, self.slots)
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._draining = asyncio.Event()
        self._exit_code = 0
        self._left_over: set[asyncio.Task[Any]] = set()
        keys = queue.namespace.keys
        self._listener = CancelListener(
            WorkerChannel(queue.url, keys, queue.name),
            self.slots,
            offer=self.claim_loop.offer,
            shut_down=self.stop,
            drain=self._draining.set,
        )
        self.claim_loop.on_draining = self._draining.set
        self._keeper = LeaseKeeper(
            LeaseRenewer(
                queue.url,
                keys,
                queue.name,
                lease_us=int(settings.queue.lease_seconds * 1_000_000),
                timeout=min(2.0, settings.queue.lease_seconds / 4),
            ),
            self.slots,
            asyncio.get_running_loop(),
            lease_seconds=settings.queue.lease_seconds,
            on_unknown=self._register_soon,
        )
        self._group: asyncio.TaskGroup | None = None
        self._registered = asyncio.Event()

    def stop(self) -> None:
        """Once: finish what runs, within the grace. Twice: give it back now."""
        if self._stopping.is_set():
            self._hurry.set()
        self._stopping.set()
        self._keeper.stopping = True

    @property
    def unstoppable(self) -> bool:
        """After `run`: something does not end, so that only the end of the process ends it."""
        return bool(self.slots.held or self._left_over)

    async def run(self) -> int:
        """Work until `stop`; the process's exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stop)
        self._keeper.start()
        try:
            await self._work(loop.create_task(self._background(), name="worker-background"))
        finally:
            await asyncio.to_thread(self._keeper.stop)
            self._stock_jobs.close()
            with contextlib.suppress(QueueError):
                await self._queue.presence.remove_worker()
        return self._exit_code

    async def _work(self, background: asyncio.Task[None]) -> None:
        stopped = asyncio.get_running_loop().create_task(self._stopping.wait(), name="wait-for-stop")
        await asyncio.wait({background, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if background.done():
            await self._give_back()
            await background
        await self._drain()
        background.cancel()
        _, self._left_over = await asyncio.wait({background, stopped}, timeout=LEFT_OVER_SECONDS)

    async def _background(self) -> None:
        async with asyncio.TaskGroup() as group:
            self._group = group
            group.create_task(self._register_at_first(), name="register")
            group.create_task(self.claim_loop.run(), name="claim-loop")
            group.create_task(self._listener.run(), name="cancel-listener")
            group.create_task(self._tick_always(self._queue.maintenance.tick), name="maintenance")
            group.create_task(self._tick_always(self._queue.schedules.tick), name="schedules")
            group.create_task(self._watch_for_stuck(), name="stuck-watch")
            group.create_task(self._drain_when_told(), name="drain-watch")

    def _register_soon(self) -> None:
        if self._group is not None and not self._stopping.is_set():
            self._group.create_task(self._register(), name="register")

    async def _register_at_first(self) -> None:
        """Who sees this worker may send it commands."""
        await self._listener.subscribed.wait()
        await self._register()

    async def _register(self) -> None:
        while True:
            try:
                await self._queue.register_worker()
                self._registered.set()
                self.claim_loop.offer()
                return
            except QueueError as error:
                log.warning("waiting for the queue: %s", error)
                await asyncio.sleep(0.5)

    async def _tick_always(self, tick: Callable[[], Awaitable[TickReport | ScheduleReport]]) -> None:
        """Rescue, due jobs and schedules also run here, so that a system without its server keeps working."""
        # What the worker says of stock jobs comes before the first of them is met.
        await self._registered.wait()
        while True:
            more = False
            with contextlib.suppress(QueueError):
                more = (await tick()).more
            await asyncio.sleep(0 if more else self._settings.worker.tick_seconds)

    async def _drain_when_told(self) -> None:
        """Take nothing new, let everything end however long it takes, then stop."""
        await self._draining.wait()
        log.info("draining: takes no new jobs, ends when its %d jobs have ended", len(self.slots.held))
        self.claim_loop.be_quiet()
        await self.slots.wait_all()
        self.stop()

    async def _watch_for_stuck(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            if (self.slots.stuck or not self._keeper.alive) and not self._hurry.is_set():
                log.critical("a job or the lease keeper is stuck; this worker gives its jobs back and exits")
                self._exit_code = STUCK_EXIT_CODE
                self._hurry.set()
                self._stopping.set()

    async def _drain(self) -> None:
        self.claim_loop.be_quiet()
        grace = self._settings.worker.shutdown_grace_seconds
        ended = asyncio.get_running_loop().create_task(self.slots.wait_all(), name="wait-for-jobs")
        hurry = asyncio.get_running_loop().create_task(self._hurry.wait(), name="wait-for-hurry")
        await asyncio.wait({ended, hurry}, timeout=grace, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        for held in list(self.slots.held.values()):
            held.run.release()
        await asyncio.wait({ended}, timeout=REPORT_SECONDS)
        ended.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REPORT_SECONDS):
                await self._report()

    async def _give_back(self) -> None:
        """After a defect of this worker nobody reports any more, but its jobs need not wait for the rescue."""
        for held in list(self.slots.held.values()):
            held.run.release()
        with contextlib.suppress(TimeoutError, QueueError):
            async with asyncio.timeout(REPORT_SECONDS):
                await self.slots.wait_all()
                await Consumer(self._queue.namespace, self._queue.name).finish([*self.slots.ended, *self.slots.stuck])

    async def _report(self) -> None:
        """Until every outcome is in Redis, those of jobs that cannot be stopped last: the process ends next."""
        while self.slots.ended or self.claim_loop.open_calls:
            self.claim_loop.wake()
            await asyncio.sleep(0.02)
        if self.slots.stuck:
            with contextlib.suppress(QueueError):
                await Consumer(self._queue.namespace, self._queue.name).finish(self.slots.stuck)

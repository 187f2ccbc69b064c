"""Hands changes of jobs to the clients that wait for them: one subscription for all, a dictionary from job to watchers.

Events are an accelerator, the records are the truth: after a gap, and now and then anyway, all watched jobs are read.
Whoever registers before the subscription stands is served too, because each (re)subscription counts as a gap.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from typing import Final

from jobqueue import EventFeed, Inspector, Job, JobChange
from jobqueue.errors import QueueError
from server.errors import TooManyRequestsError
from server.job_reader import chunks
from server.tasks import start_task
from server.watcher import Ending, Watcher

log = logging.getLogger(__name__)

SCAN_SECONDS: Final = 30.0
# While events do not arrive, reading is all there is.
DEAF_SCAN_SECONDS: Final = 1.0


def as_change(job: Job) -> JobChange:
    return JobChange(job.job_id, job.seq, job.status_seq, job.state, job.progress, job.step, job.user_id, job.job_type)


class _Watched:
    __slots__ = ("ending", "snapshot", "watchers")

    def __init__(self) -> None:
        self.ending = Ending()
        self.snapshot: JobChange | None = None
        self.watchers: set[Watcher] = set()


class Hub:
    def __init__(self, events: EventFeed, inspector: Inspector, *, most_watchers: int) -> None:
        self._events = events
        self._inspector = inspector
        self._most_watchers = most_watchers
        self._watched: dict[str, _Watched] = {}
        self._dirty = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None
        self.watchers = 0
        events.on_change(self._announced)
        events.on_removed(self._removed)
        events.on_gap(self._dirty.set)

    @property
    def snapshots(self) -> int:
        return sum(watched.snapshot is not None for watched in self._watched.values())

    @property
    def lag_ms(self) -> float:
        return self._events.lag_ms

    async def start(self) -> None:
        self._task = start_task(self._scan_always, name="watched-jobs-scan")
        await self._events.start()

    def end_watches(self) -> None:
        """All waiting handlers finish now, and new ones do not wait."""
        self._closing = True
        for watched in self._watched.values():
            for watcher in watched.watchers:
                watcher.end()

    async def stop(self) -> None:
        await self._events.stop()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @contextlib.contextmanager
    def watch(self, job_id: str) -> Iterator[Watcher]:
        if self.watchers >= self._most_watchers:
            raise TooManyRequestsError("Too many open polls and streams")
        watched = self._watched.setdefault(job_id, _Watched())
        watcher = Watcher(watched.ending)
        if self._closing:
            watcher.end()
        watched.watchers.add(watcher)
        self.watchers += 1
        try:
            yield watcher
        finally:
            self.watchers -= 1
            watched.watchers.discard(watcher)
            if not watched.watchers:
                del self._watched[job_id]

    def begin(self, watcher: Watcher, job: Job) -> None:
        """The handler has read the job: from here on the watcher gets what is newer."""
        watcher.begin(job)
        self._hand_out(as_change(job), from_record=True)

    def _announced(self, change: JobChange) -> None:
        self._hand_out(change, from_record=False)

    def _removed(self, job_id: str) -> None:
        if watched := self._watched.get(job_id):
            for watcher in watched.watchers:
                watcher.end()

    def _hand_out(self, change: JobChange, *, from_record: bool) -> None:
        watched = self._watched.get(change.job_id)
        if watched is None:
            return
        if watched.snapshot is None or change.seq >= watched.snapshot.seq:
            watched.snapshot = change
        for watcher in watched.watchers:
            watcher.offer(change, from_record=from_record)

    async def _scan_always(self) -> None:
        while True:
            await self._wait_for_reason()
            self._dirty.clear()
            try:
                await self._scan()
            except QueueError as error:
                log.info("watched jobs could not be read: %s", error)
                self._dirty.set()
                await asyncio.sleep(DEAF_SCAN_SECONDS)

    async def _wait_for_reason(self) -> None:
        waited = 0.0
        while waited < SCAN_SECONDS:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DEAF_SCAN_SECONDS):
                    await self._dirty.wait()
                return
            if not self._events.subscribed:
                return
            waited += DEAF_SCAN_SECONDS

    async def _scan(self) -> None:
        for job_ids in chunks(list(self._watched)):
            jobs = await self._inspector.get_many(job_ids)
            for job_id, job in zip(job_ids, jobs, strict=True):
                if job is not None:
                    self._hand_out(as_change(job), from_record=True)
                else:
                    self._removed(job_id)

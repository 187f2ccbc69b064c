"""Keeps the leases of running jobs, from a thread with its own connection: a blocked event loop loses no lease.

Trust window: a lease counts from the start of the call that secured it, on this machine's monotonic clock. When it
could not be renewed until a fifth of it is left, its job is stopped: a child by its guard, which needs no help from
here, so that it also happens while this whole process stands still. When Redis says that it is lost, its job is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Final

import psutil

from jobqueue.consumer import Ended
from jobqueue.errors import QueueError, QueueFull
from jobqueue.job import Failed, Released
from jobqueue.leases import CANCELLED, LOST, MOST_LEASES, Holding, LeaseRenewer
from jobqueue.logs import job_fields
from worker.slots import Held, Slots

log = logging.getLogger(__name__)

# So soon others see whether this worker is busy.
LOOK_SECONDS: Final = 0.1
RECORD_AFTER_SECONDS: Final = 1.0
# Cancelling an async job and killing a child take less, unless the loop is blocked.
LOST_GRACE_SECONDS: Final = 3.0
STUCK_EXIT_CODE: Final = 70
# However long the leases: who is silent for fifteen seconds counts as gone in the statistics.
LONGEST_BEAT_SECONDS: Final = 5.0


class LeaseKeeper:
    """`on_unknown` is called in the loop when Redis has forgotten this worker. `stopping`: this one was told to end."""

    def __init__(
        self,
        renewer: LeaseRenewer,
        slots: Slots,
        loop: asyncio.AbstractEventLoop,
        *,
        lease_seconds: float,
        on_unknown: Callable[[], None],
    ) -> None:
        self._renewer = renewer
        self._slots = slots
        self._loop = loop
        self._on_unknown = on_unknown
        self._renew_every = lease_seconds / 3
        self._beat_every = min(self._renew_every, LONGEST_BEAT_SECONDS)
        self._pause = min(1.0, lease_seconds / 10)
        self._beat_at = 0.0
        self._told_busy = False
        self._rss_mb = 0
        self.stopping = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease-keeper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Blocks until the thread has ended: at most one call's deadline."""
        self._stop.set()
        self._thread.join()
        self._renewer.close()

    def _run(self) -> None:
        look_at = 0.0
        while not self._stop.wait(LOOK_SECONDS):
            now = time.monotonic()
            if now >= look_at or bool(self._slots.held) != self._told_busy:
                look_at = now + self._pause
                self._look(self._slots.held.copy(), now)

    def _look(self, held: dict[str, Held], now: float) -> None:
        self._give_up_on_stuck(held, now)
        due = [(token, h) for token, h in held.items() if self._is_due(h, now)]
        busy = bool(held)
        if due or busy != self._told_busy or now - self._beat_at >= self._beat_every:
            self._renew(due, busy=busy)
        self._tell_distrusted(held)

    def _is_due(self, held: Held, now: float) -> bool:
        if now - held.renewed_at >= self._renew_every:
            return True
        return not held.recorded and now - held.claimed_at >= RECORD_AFTER_SECONDS

    def _renew(self, due: list[tuple[str, Held]], *, busy: bool) -> None:
        for first in range(0, max(1, len(due)), MOST_LEASES):
            part = [held for _, held in due[first : first + MOST_LEASES]]
            started = time.monotonic()
            age = [started - held.claimed_at >= RECORD_AFTER_SECONDS for held in part]
            holdings = [
                Holding(held.job.job_id, held.job.execution_id, records)
                for held, records in zip(part, age, strict=True)
            ]
            try:
                renewal = self._renewer.renew(
                    holdings, state="busy" if busy else "idle", rss_mb=self._memory(), stopping=self.stopping
                )
            except QueueFull:
                # Redis answers but cannot write or still loads: nobody else can take the jobs either.
                for held in part:
                    self._trust(held, started)
                continue
            except QueueError as error:
                log.warning("leases could not be renewed: %s", error)
                continue
            self._beat_at, self._told_busy = started, busy
            if not renewal.registered:
                self._loop.call_soon_threadsafe(self._on_unknown)
            for held, records, answer in zip(part, age, renewal.leases, strict=True):
                self._learn(held, answer, started, records)

    def _learn(self, held: Held, answer: int, started: float, records: bool) -> None:
        if answer == LOST:
            held.lost_at = min(held.lost_at, started)
            self._loop.call_soon_threadsafe(held.run.abandon)
            return
        self._trust(held, started)
        held.recorded = records
        if answer == CANCELLED and not held.cancelled:
            held.cancelled = True
            self._loop.call_soon_threadsafe(held.run.cancel)

    def _trust(self, held: Held, renewed_at: float) -> None:
        held.renewed_at = renewed_at
        held.distrusted = False
        held.run.trust(renewed_at + self._slots.trust_seconds)

    def _tell_distrusted(self, all_held: dict[str, Held]) -> None:
        oldest = time.monotonic() - self._slots.trust_seconds
        for token, held in all_held.items():
            if not held.distrusted and held.renewed_at < oldest and token in self._slots.held:
                log.error("a job is stopped: its lease could not be renewed", extra=job_fields(held.job))
                held.distrusted = True
                self._loop.call_soon_threadsafe(held.run.distrust)

    def _give_up_on_stuck(self, all_held: dict[str, Held], now: float) -> None:
        """A job far past its end, or one that runs on after its lease was lost, blocks the loop or ignores everything.

        The others go back and the process ends: nothing less ends such a job.
        """
        stuck = [held for held in all_held.values() if now > min(held.hard_limit, held.lost_at + LOST_GRACE_SECONDS)]
        if not stuck:
            return
        for held in stuck:
            log.critical(
                "a job does not end; this worker gives its other jobs back and exits", extra=job_fields(held.job)
            )
        late = Failed("JobTimeout: did not end long after its time limit, and took its worker with it")
        ended = self._slots.ended + self._slots.stuck
        ended += [Ended(held.job, late if held in stuck else Released()) for held in all_held.values()]
        try:
            for first in range(0, len(ended), MOST_LEASES):
                self._renewer.give_back(ended[first : first + MOST_LEASES])
        except QueueError as error:
            log.error("the other jobs could not be given back: %s", error)
        os._exit(STUCK_EXIT_CODE)

    @property
    def alive(self) -> bool:
        """False when the thread has ended by a defect: then nobody renews any more."""
        return self._thread.is_alive()

    def _memory(self) -> int:
        if time.monotonic() - self._beat_at >= self._beat_every or not self._rss_mb:
            self._rss_mb = tree_rss_mb()
        return self._rss_mb


def tree_rss_mb() -> int:
    """Resident megabytes of this process and its children."""
    me = psutil.Process()
    total = me.memory_info().rss
    for child in me.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            total += child.memory_info().rss
    return int(total) // 1_000_000

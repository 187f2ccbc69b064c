"""One client that waits for changes of one job, with room for the newest change only: no queue can grow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from jobqueue import Job, JobChange
from jobqueue.states import TERMINAL, State


class Ending:
    """How a job has ended, encoded once for all who watch it: a large result must not lie here once for each."""

    __slots__ = ("_block", "_of")

    def __init__(self) -> None:
        self._of: tuple[int, State] | None = None
        self._block = b""

    def block(self, job: Job, encode: Callable[[Job], bytes]) -> bytes:
        if self._of != (job.seq, job.state):
            self._block = encode(job)
            self._of = (job.seq, job.state)
        return self._block


class Watcher:
    """Filled by the hub, emptied by one handler. `ended`: the server stops, or the job is gone.

    Order of use: be registered at the hub, read the job, `begin` with it, then wait.
    """

    __slots__ = (
        "_before", "_begun", "_news", "_seq", "_slot", "_state", "_status_news", "_status_seq", "ended", "ending",
    )  # fmt: skip

    def __init__(self, ending: Ending | None = None) -> None:
        self.ending = ending or Ending()
        self.ended = False
        self._begun = False
        self._seq = -1
        self._status_seq = -1
        self._state: State | None = None
        self._slot: JobChange | None = None
        self._before: JobChange | None = None
        self._news = asyncio.Event()
        self._status_news = asyncio.Event()

    def begin(self, job: Job) -> None:
        """The handler knows the job as it is in `job`: only what came later is news."""
        self._begun = True
        if self._slot is None or self._slot.seq <= job.seq:
            self.take()
            self._seq, self._status_seq, self._state = job.seq, job.status_seq, job.state
            return
        if self._before is not None and self._before.seq <= job.seq:
            self._before = None
        if self._status_seq <= job.status_seq and not self.ended:
            self._status_news.clear()

    def offer(self, change: JobChange, *, from_record: bool = False) -> None:
        """`from_record`: was read, not announced. A stock worker changes the state of a job without a new `seq`."""
        by_others = from_record and change.seq == self._seq and change.state != self._state
        if self._holds_the_end() or (change.seq <= self._seq and not by_others):
            return
        if change.status_seq > self._status_seq or by_others:
            # The last progress before a change of status is not merged away.
            self._before = self._slot
            self._status_news.set()
        self._seq, self._status_seq, self._state = change.seq, change.status_seq, change.state
        self._slot = change
        self._news.set()

    def _holds_the_end(self) -> bool:
        return self._begun and self._slot is not None and self._slot.state in TERMINAL

    def end(self) -> None:
        self.ended = True
        self._news.set()
        self._status_news.set()

    def take(self) -> list[JobChange]:
        """At most two: the last one before a change of status, and the newest."""
        changes = [change for change in (self._before, self._slot) if change is not None]
        self._before = self._slot = None
        if not self.ended:
            self._news.clear()
            self._status_news.clear()
        return changes

    async def wait(self, seconds: float, *, status_only: bool) -> bool:
        """False when nothing came in time; with `status_only` progress does not count."""
        news = self._status_news if status_only else self._news
        try:
            async with asyncio.timeout(seconds):
                await news.wait()
        except TimeoutError:
            return False
        return True

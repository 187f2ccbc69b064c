"""The executions that this worker holds: what runs, what has ended and is not reported yet, how many slots are free."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from jobqueue.config import Settings
from jobqueue.consumer import Ended
from jobqueue.job import Claimed, Completed, Failed, Outcome, Progress, Stopped
from jobqueue.logs import job_fields
from jobqueue.stock import StockJobs
from worker.job_runner import JobRun

log = logging.getLogger(__name__)

# Of a lease: the rest is for stopping a job before another worker may have it.
TRUSTED_SHARE: Final = 0.8
# A job that outlives its time limit and its grace by this much is not extended any more.
HARD_LIMIT_MARGIN: Final = 10.0
# A command for a job that a claim under way is just bringing waits for it so long.
EARLY_SECONDS: Final = 2.0
# Callbacks of stock producers come after it, under time limits of their own, of a minute unless they say otherwise.
MOST_CALLBACK_SECONDS: Final = 600.0


@dataclass(slots=True, eq=False)
class Held:
    """Times are monotonic seconds. `renewed_at`: when the call that last secured the lease was sent. `lost_at`: when it
    was found to be lost.
    """

    job: Claimed
    run: JobRun
    renewed_at: float
    claimed_at: float
    hard_limit: float
    lost_at: float = float("inf")
    recorded: bool = False
    distrusted: bool = False
    cancelled: bool = False


Order = Callable[[Held], None]


class Slots:
    """Owned by the event loop; `held` is also read by the lease keeper's thread, which takes a copy first."""

    def __init__(self, settings: Settings, stock_jobs: StockJobs | None = None) -> None:
        self._settings = settings
        self._stock_jobs = stock_jobs
        self._size = settings.worker.concurrency
        self.trust_seconds = TRUSTED_SHARE * settings.queue.lease_seconds
        self._reserved = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.held: dict[str, Held] = {}
        self.ended: list[Ended] = []
        self.stuck: list[Ended] = []
        self.notes: dict[str, tuple[Claimed, Progress]] = {}
        self._early: dict[str, tuple[float, Order]] = {}
        self.on_ended: Callable[[], None] = lambda: None

    @property
    def free(self) -> int:
        return self._size - len(self.held) - len(self.ended) - self._reserved

    def reserve(self, most: int) -> int:
        """Take up to `most` free slots for a claim under way; give them back with `unreserve`."""
        count = max(0, min(most, self.free))
        self._reserved += count
        return count

    def unreserve(self, count: int) -> None:
        self._reserved -= count

    def start(self, job: Claimed, renewed_at: float) -> None:
        """Run a claimed job; when it has ended its outcome waits in `ended`."""
        token = job.token
        run = JobRun(job, self._settings, lambda note: self._note(token, job, note), self._stock_jobs)
        run.trust(renewed_at + self.trust_seconds)
        self.held[token] = Held(job, run, renewed_at, time.monotonic(), self._hard_limit(job))
        if self._early:
            self._obey_early(job)
        task = asyncio.get_running_loop().create_task(self._run(token, job, run), name=f"job-{job.job_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def order(self, key: str, order: Order) -> None:
        """`key`: a token, or a job's id. Of a job that Redis has given out others may know before this worker does."""
        found = [held for token, held in self.held.items() if key in (token, held.job.job_id)]
        for held in found:
            order(held)
        if self._reserved and not found:
            now = time.monotonic()
            self._early = {key: early for key, early in self._early.items() if early[0] > now}
            self._early[key] = (now + EARLY_SECONDS, order)

    def _obey_early(self, job: Claimed) -> None:
        for key in (job.token, job.job_id):
            until, order = self._early.pop(key, (0.0, None))
            if order is not None and until > time.monotonic():
                order(self.held[job.token])

    async def _run(self, token: str, job: Claimed, run: JobRun) -> None:
        outcome: Outcome | None = None
        try:
            outcome = await run.run()
        finally:
            if run.stuck:
                # It still runs, so it keeps its slot and its lease; what became of it is said when the process ends.
                self.stuck.append(Ended(job, outcome or Stopped()))
            else:
                del self.held[token]
                if outcome is not None:
                    self.ended.append(Ended(job, outcome))
                if isinstance(outcome, Failed):
                    # Only the error's name: what follows may quote parameters.
                    name = outcome.error.partition(":")[0].partition(" ")[0]
                    log.warning("a job failed", extra={**job_fields(job), "job_type": job.job_type, "error": name})
            self.on_ended()

    def _note(self, token: str, job: Claimed, note: Progress) -> None:
        self.notes[token] = (job, note)

    def _hard_limit(self, job: Claimed) -> float:
        kind = self._settings.job_types.get(job.job_type)
        grace = kind.cancel_grace_seconds if kind else 0.0
        if job.timeout_seconds is None:
            return float("inf")
        callbacks = MOST_CALLBACK_SECONDS if job.has_callbacks else 0.0
        return time.monotonic() + job.timeout_seconds + callbacks + grace + HARD_LIMIT_MARGIN

    def take_ended(self, most: int, most_bytes: int) -> list[Ended]:
        """The oldest, at least one if there is any: not more results at once than one call brings in time."""
        count = size = 0
        for entry in self.ended[:most]:
            size += _size(entry)
            if count and size > most_bytes:
                break
            count += 1
        taken, self.ended = self.ended[:count], self.ended[count:]
        return taken

    async def wait_all(self) -> None:
        """Until no job runs any more."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))


def _size(entry: Ended) -> int:
    """Bytes of its result, roughly; errors are short."""
    return entry.outcome.size if isinstance(entry.outcome, Completed) else 0

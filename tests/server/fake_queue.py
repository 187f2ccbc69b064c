"""The queue library's interface over a dictionary. Every change is published at once, unless `muted`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

from jobqueue import (
    Cancelled,
    Enqueued,
    Job,
    JobChange,
    NewJob,
    NewSchedule,
    Recurrence,
    Schedule,
    SchedulePage,
    ScheduleReport,
    Stats,
    TickReport,
    WorkerInfo,
)
from jobqueue.control import Controls
from jobqueue.errors import DuplicateJob, JobNotFound, OnceConflict, QueueUnavailable, ScheduleNotFound, WrongState
from jobqueue.job import JobPage
from jobqueue.states import RESTARTABLE, TERMINAL, State

CREATED = 1_762_961_400_000_000  # 2025-11-12T15:30:00Z


class FakeEvents:
    def __init__(self) -> None:
        self.changed: list[Callable[[JobChange], None]] = []
        self.remove: Callable[[str], None] = lambda job_id: None
        self.gaps: list[Callable[[], None]] = []
        self.subscribed = False
        self.muted = False
        self.lag_ms = 0.5
        self.started = self.stopped = 0

    def on_change(self, callback: Callable[[JobChange], None]) -> None:
        self.changed.append(callback)

    def on_removed(self, callback: Callable[[str], None]) -> None:
        self.remove = callback

    def on_gap(self, callback: Callable[[], None]) -> None:
        self.gaps.append(callback)

    async def start(self) -> None:
        self.started += 1
        self.subscribed = True
        self.gap()

    async def stop(self) -> None:
        self.stopped += 1

    async def wait_subscribed(self) -> None:
        assert self.subscribed

    def gap(self) -> None:
        for callback in self.gaps:
            callback()

    def publish(self, change: JobChange) -> None:
        if not self.muted:
            for callback in self.changed:
                callback(change)


class FakeQueue:
    """Producer, inspector, maintenance and presence in one; `down` is raised by every call while it is set."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self.new: dict[str, NewJob] = {}
        self.once: dict[tuple[str, str], NewJob] = {}
        self.pages: list[dict[str, Any]] = []
        self.bulks: list[tuple[str, ...]] = []
        self.restarted: dict[str, Sequence[Any] | None] = {}
        self.n = 0
        self.down: Exception | None = None
        self.reads: list[tuple[str, ...]] = []
        self.result_reads: list[str] = []
        self.before_read: Callable[[], Awaitable[None]] | None = None
        self.after_read: Callable[[], Awaitable[None]] | None = None
        self.before_change: Callable[[], Awaitable[None]] | None = None
        self.ticks: list[TickReport] = []
        self.ticked = 0
        self.first_states: dict[str, State] = {}
        self.tick_count = self.checks = self.beats = self.cleanups = 0
        self.beat: dict[str, Any] = {}
        self.workers: tuple[WorkerInfo, ...] = ()
        self.last_cleanup: int | None = None
        self.log: list[str] = []
        self.closed = False
        self.explained: list[str] = []
        self.events = FakeEvents()
        self.schedules = FakeSchedules(self)
        self.control = FakeControl(self)
        self.producer = self.inspector = self.maintenance = self.presence = self.cleanup = self

    async def run_if_due(self) -> None:
        self.cleanups += 1

    async def close(self) -> None:
        self.closed = True
        self.log.append("queue closed")

    async def ready(self) -> None:
        self._check()

    def _check(self) -> None:
        if self.down is not None:
            raise self.down

    async def explain(self, jobs: Sequence[Job]) -> None:
        self.explained += [job.job_id for job in jobs if job.state in ("pending", "scheduled")]

    # what tests do to jobs

    def add(self, job_id: str, state: State = "pending", **fields: Any) -> Job:
        self.n += 1
        job = Job(
            **{
                "job_id": job_id, "job_type": "extraction", "user_id": "default_user", "queue": "default",
                "state": state, "seq": self.n, "status_seq": self.n, "priority": "normal", "progress": 0.0, "step": "",
                "items_done": 0, "items_total": 0, "created_at": CREATED, "due_at": None, "started_at": None,
                "ended_at": CREATED + 60_000_000 if state in TERMINAL else None, "execution_seconds": 0.0,
                "error": None, "attempt": 0, "restarts": 0, "worker": None, **fields,
            }
        )  # fmt: skip
        self.jobs[job_id] = job
        self._publish(job)
        return job

    def change(self, job_id: str, state: State, **fields: Any) -> Job:
        self.n += 1
        ended = CREATED + 60_000_000 if state in TERMINAL else None
        job = replace(self.jobs[job_id], state=state, seq=self.n, status_seq=self.n, **{"ended_at": ended, **fields})
        self.jobs[job_id] = job
        self._publish(job)
        return job

    def progress(self, job_id: str, fraction: float, step: str = "") -> Job:
        self.n += 1
        job = self.jobs[job_id] = replace(self.jobs[job_id], seq=self.n, progress=fraction, step=step)
        self._publish(job)
        return job

    def expire(self, job_id: str) -> None:
        """Gone without a word."""
        del self.jobs[job_id]

    def _publish(self, job: Job) -> None:
        change = JobChange(
            job.job_id, job.seq, job.status_seq, job.state, job.progress, job.step, job.user_id, job.job_type
        )
        self.events.publish(change)

    # the library's interface

    async def enqueue(self, job: NewJob, *, once: str | None = None) -> Enqueued:
        if self.before_change is not None:
            await self.before_change()
        self._check()
        first = self.once.setdefault((job.user_id, once), job) if once is not None else job
        if replace(first, job_id=job.job_id) != job:
            raise OnceConflict("used before")
        return self._enqueue(first)

    async def is_remembered(self, user_id: str, once: str) -> bool:
        self._check()
        return (user_id, once) in self.once

    async def enqueue_many(self, jobs: Sequence[NewJob]) -> list[Enqueued | DuplicateJob]:
        self.bulks.append(tuple(job.job_id for job in jobs))
        answers: list[Enqueued | DuplicateJob] = []
        for job in jobs:
            try:
                answers.append(await self.enqueue(job))
            except DuplicateJob as error:
                answers.append(error)
        return answers

    def _enqueue(self, job: NewJob) -> Enqueued:
        known = self.new.get(job.job_id)
        if known is not None:
            if known != job:
                raise DuplicateJob(job.job_id)
            return Enqueued(job.job_id, self.first_states[job.job_id], False)
        self.new[job.job_id] = job
        state: State = "scheduled" if (job.due or 0) > time.time() * 1_000_000 else "pending"
        self.first_states[job.job_id] = state
        self.add(job.job_id, state, user_id=job.user_id, job_type=job.job_type, due_at=job.due)
        return Enqueued(job.job_id, state, True)

    async def cancel(self, job_id: str) -> Cancelled:
        if self.before_change is not None:
            await self.before_change()
        self._check()
        job = self._known(job_id)
        if job.state == "cancelled":
            return Cancelled(job_id, False)
        if job.state in TERMINAL:
            raise WrongState(job.state)
        self.change(job_id, "cancelled")
        return Cancelled(job_id, True)

    async def restart(self, job_id: str, *, args: Sequence[Any] | None = None) -> None:
        self._check()
        job = self._known(job_id)
        if job.state not in RESTARTABLE:
            raise WrongState(job.state)
        self.restarted[job_id] = args
        self.change(job_id, "pending", progress=0.0, error=None, started_at=None, restarts=job.restarts + 1)

    async def cancel_many(self, job_ids: Sequence[str]) -> list[Cancelled | JobNotFound | WrongState]:
        self.bulks.append(tuple(job_ids))
        answers: list[Cancelled | JobNotFound | WrongState] = []
        for job_id in job_ids:
            try:
                answers.append(await self.cancel(job_id))
            except (JobNotFound, WrongState) as error:
                answers.append(error)
        return answers

    async def restart_many(self, job_ids: Sequence[str]) -> list[JobNotFound | WrongState | None]:
        self.bulks.append(tuple(job_ids))
        answers: list[JobNotFound | WrongState | None] = []
        for job_id in job_ids:
            try:
                answers.append(await self.restart(job_id))
            except (JobNotFound, WrongState) as error:
                answers.append(error)
        return answers

    async def remove(self, job_id: str) -> None:
        self._check()
        job = self._known(job_id)
        if job.state not in TERMINAL:
            raise WrongState(job.state)
        del self.jobs[job_id]
        self.events.remove(job_id)

    async def page(
        self,
        *,
        states: Collection[State] = (),
        job_type: str | None = None,
        user_id: str | None = None,
        limit: int = 50,
        cursor: int | None = None,
    ) -> JobPage:
        """The cursor is the time of creation of the last job shown."""
        self.pages.append({"states": set(states), "job_type": job_type, "user_id": user_id, "limit": limit})
        self._check()
        newest = sorted(self.jobs.values(), key=lambda job: job.created_at, reverse=True)
        found = [
            job
            for job in newest
            if (not states or job.state in states)
            and job_type in (None, job.job_type)
            and user_id in (None, job.user_id)
            and (cursor is None or job.created_at < cursor)
        ]
        return JobPage(tuple(found[:limit]), found[limit - 1].created_at if len(found) > limit else None)

    def _known(self, job_id: str) -> Job:
        if job_id not in self.jobs:
            raise JobNotFound(job_id)
        return self.jobs[job_id]

    async def get(self, job_id: str, *, result: bool = False) -> Job:
        self.result_reads.append(job_id)
        (job,) = await self._read([job_id])
        if job is None:
            raise JobNotFound(job_id)
        return job if result and job.state == "completed" else replace(job, result=None)

    async def get_many(self, job_ids: Sequence[str]) -> list[Job | None]:
        self.reads.append(tuple(job_ids))
        jobs = await self._read(job_ids)
        return [None if job is None else replace(job, result=None) for job in jobs]

    async def _read(self, job_ids: Sequence[str]) -> list[Job | None]:
        if self.before_read is not None:
            await self.before_read()
        self._check()
        await asyncio.sleep(0)
        jobs = [self.jobs.get(job_id) for job_id in job_ids]
        if self.after_read is not None:
            await self.after_read()
        return jobs

    async def stats(self) -> Stats:
        self._check()
        counts: dict[State, int] = {}
        for job in self.jobs.values():
            counts[job.state] = counts.get(job.state, 0) + 1
        return Stats(
            counts=counts, limit_total=10, limit_per_user=3, last_cleanup=self.last_cleanup, workers=self.workers,
            servers_rss_mb=100, redis_memory_mb=7, server_time=CREATED,
        )  # fmt: skip

    async def tick(self) -> TickReport:
        self._check()
        self.tick_count += 1
        self.ticked += 1
        return self.ticks.pop(0) if self.ticks else TickReport(0, 0, 0, 0, False)

    async def check_workers(self) -> int:
        self._check()
        self.checks += 1
        return 0

    async def beat_server(self, *, host: str, pid: int, rss_mb: int) -> None:
        self._check()
        self.beats += 1
        self.beat = {"host": host, "pid": pid, "rss_mb": rss_mb}

    async def remove_server(self) -> None:
        self.log.append("server removed")
        self._check()


class FakeControl:
    """Keeps what it is told; every worker is known."""

    def __init__(self, queue: FakeQueue) -> None:
        self._queue = queue
        self.told: list[tuple[str, Any]] = []

    async def read(self) -> Controls:
        self._queue._check()
        return Controls(
            total=10, per_user=3, total_is_set=False, per_user_is_set=False, users={}, types={}, queue_paused=False,
            paused_users=(), paused_types=(),
        )  # fmt: skip

    async def set_limits(self, **limits: Any) -> tuple[int, int]:
        self._queue._check()
        self.told.append(("limits", limits))
        return 10, 3

    async def pause(self, kind: str, name: str = "") -> bool:
        self._queue._check()
        self.told.append(("pause", (kind, name)))
        return True

    async def resume(self, kind: str, name: str = "") -> bool:
        self._queue._check()
        self.told.append(("resume", (kind, name)))
        return True

    async def drain(self, worker: str) -> bool:
        self._queue._check()
        self.told.append(("drain", worker))
        return True


class FakeSchedules:
    def __init__(self, queue: FakeQueue) -> None:
        self.known: dict[str, Schedule] = {}
        self.reports: list[ScheduleReport] = []
        self.tick_count = 0
        self._queue = queue

    def add(self, schedule_id: str) -> None:
        job = NewJob(job_id="", function="worker.rq_entry.run_job", args=["extraction", {}], job_type="extraction")
        self._add(NewSchedule(schedule_id=schedule_id, recurrence=Recurrence(interval_seconds=60), job=job))

    def _add(self, new: NewSchedule) -> None:
        self.known[new.schedule_id] = Schedule(
            schedule_id=new.schedule_id, name=new.name, recurrence=new.recurrence, job=new.job, paused=new.paused,
            created_at=CREATED, next_run_at=None, last_run_at=None, last_job_id=None, runs=0, error=None,
        )  # fmt: skip

    async def tick(self) -> ScheduleReport:
        self._queue._check()
        self.tick_count += 1
        return self.reports.pop(0) if self.reports else ScheduleReport()

    async def create(self, new: NewSchedule) -> Schedule:
        self._queue._check()
        self._add(new)
        return self.known[new.schedule_id]

    async def get(self, schedule_id: str) -> Schedule:
        self._queue._check()
        if schedule_id not in self.known:
            raise ScheduleNotFound(schedule_id)
        return self.known[schedule_id]

    async def page(self, *, user_id: str | None, limit: int, cursor: int | None) -> SchedulePage:
        self._queue._check()
        return SchedulePage(tuple(self.known.values()), None)

    async def remove(self, schedule_id: str) -> None:
        del self.known[(await self.get(schedule_id)).schedule_id]

    async def pause(self, schedule_id: str) -> Schedule:
        self.known[schedule_id] = replace(await self.get(schedule_id), paused=True)
        return self.known[schedule_id]

    async def resume(self, schedule_id: str) -> Schedule:
        self.known[schedule_id] = replace(await self.get(schedule_id), paused=False)
        return self.known[schedule_id]

    async def run_now(self, schedule_id: str, *, once: str | None = None) -> Enqueued:
        return await self._queue.enqueue(replace((await self.get(schedule_id)).job, job_id="run-now"), once=once)


AWAY = QueueUnavailable("Redis is not reachable at unix:///secret/place")

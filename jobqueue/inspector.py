"""Reading: jobs and statistics. Reads always go to Redis, so they are never older than the last answer given."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, Final

from jobqueue import damage, record, rq_format
from jobqueue.errors import JobNotFound, ScriptError
from jobqueue.job import Job, JobPage, Waiting
from jobqueue.keys import STATES
from jobqueue.namespace import Namespace
from jobqueue.states import State
from jobqueue.stats import Stats, WorkerInfo
from jobqueue.wire import Argument, ReplyError

log = logging.getLogger(__name__)

MOST_LOOKED_AT: Final = 500
# In one call; each costs about twenty microseconds.
EXPLAINED_AT_ONCE: Final = 50
# Index entries of jobs that have expired and that no cleanup has come by yet.
GHOSTS_EXPECTED: Final = 50

_FIELDS: Final = (
    "status", "x_core", "x_run", "x_mark", "created_at", "started_at", "ended_at", "worker_name", "origin",
    "rate_limit_key", "description", "x_progress", "x_step", "x_done", "x_total", "x_due", "x_retry", "x_error",
    "x_history", "x_reason", "x_dependents", "dependency_ids", "allow_dependency_failures", "x_expires", "x_schedule",
    "retries_left",
)  # fmt: skip


class Inspector:
    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace

    async def get(self, job_id: str, *, result: bool = False) -> Job:
        """One job; `result` also reads the value of a completed one. Raises JobNotFound."""
        jobs, value = await asyncio.gather(self.get_many([job_id]), self._result(job_id) if result else _nothing())
        job = jobs[0]
        if job is None:
            raise JobNotFound(job_id)
        return replace(job, result=value) if job.state == "completed" else job

    async def get_many(self, job_ids: Sequence[str]) -> list[Job | None]:
        """Jobs in the order of the ids, None for those that do not exist."""
        send, job_key = self._namespace.link.send, self._namespace.keys.job
        reads = [send("HMGET", job_key(job_id), *_FIELDS) for job_id in job_ids]
        replies: list[Any] = await asyncio.gather(send("TIME"), *reads, return_exceptions=True)
        now, *rows = replies
        for reply in replies:
            # A key of another type under a job's name is not a job; every other failure concerns them all.
            if isinstance(reply, BaseException) and (reply is now or not isinstance(reply, ReplyError)):
                raise reply
        micros = int(now[0]) * 1_000_000 + int(now[1])
        return [self._readable(job_id, row, micros) for job_id, row in zip(job_ids, rows, strict=True)]

    async def explain(self, jobs: Sequence[Job]) -> None:
        """Fill in `waiting` of those that are pending or scheduled. What started meanwhile has none."""
        waiting = [job for job in jobs if job.state in ("pending", "scheduled")]
        for first in range(0, len(waiting), EXPLAINED_AT_ONCE):
            part = waiting[first : first + EXPLAINED_AT_ONCE]
            rows = await self._namespace.run("waiting", {}, [job.job_id for job in part])
            for job, row in zip(part, rows, strict=True):
                job.waiting = _waiting(row) if row else None

    async def page(
        self,
        *,
        states: Collection[State] = (),
        job_type: str | None = None,
        user_id: str | None = None,
        limit: int = 50,
        cursor: int | None = None,
    ) -> JobPage:
        """A part of the list of all jobs, newest first; `cursor` is the `next_cursor` of the part before.

        Looks at 500 jobs at most, so that no list costs much: a page may be short although more follow.
        """
        most = MOST_LOOKED_AT if job_type is not None else min(MOST_LOOKED_AT, limit + GHOSTS_EXPECTED)
        given: dict[str, Argument] = {"user": user_id or "", "before": cursor or 0, "most": most}
        flat, rest = await self._namespace.run("page", given, sorted(states))
        # Whoever writes into an index may write ids and times that are none.
        jobs = await self.get_many([job_id.decode("utf-8", "replace") for job_id in flat[::2]])
        # A job may have moved on, or expired, since its id was found.
        found = [
            (job, _score(created))
            for job, created in zip(jobs, flat[1::2], strict=True)
            if job is not None
            and (not states or job.state in states)
            and job_type in (None, job.job_type)
            and user_id in (None, job.user_id)
        ]
        shown = tuple(job for job, _ in found[:limit])
        if len(found) > limit:
            return JobPage(shown, found[limit - 1][1])
        return JobPage(shown, _score(rest) if rest else None)

    def _readable(self, job_id: str, row: list[bytes | None] | ReplyError, now: int) -> Job | None:
        if isinstance(row, ReplyError) or row[0] is None:
            return None
        f = {name: value.decode("utf-8", "replace") for name, value in zip(_FIELDS, row, strict=True) if value}
        try:
            return self._job(job_id, f, now)
        except (ValueError, KeyError):
            # Somebody else wrote into the record. What can be read is shown, and why it is not all.
            fields = damage.damaged_fields({"status": "", **f})
            log.error("the record of a job is damaged: %s", ", ".join(fields), extra={"job_id": job_id})
            return replace(self._job(job_id, damage.without(f, fields), now), reason=damage.reason(fields))

    async def _result(self, job_id: str) -> Any:
        try:
            entries = await self._namespace.call(
                "XREVRANGE", self._namespace.keys.results(job_id), "+", "-", "COUNT", 1
            )
        except ScriptError as error:
            return f"Unreadable result: {error}"
        if not entries:
            return None
        pairs = entries[0][1]
        entry = dict(zip(pairs[::2], pairs[1::2], strict=True))
        if b"return_value" not in entry:
            return None
        try:
            return rq_format.decode_result(entry[b"return_value"])
        except rq_format.DecodeError as error:
            return f"Unreadable result: {error}"

    def _job(self, job_id: str, f: dict[str, str], now: int) -> Job:
        core, run, mark = record.read_core(f), record.read_run(f), record.read_mark(f)
        state = record.state_of(f)
        started, ended = _time(f, "started_at"), _time(f, "ended_at")
        dependents_total, dependents = record.read_dependents(f)
        return Job(
            job_id=job_id,
            job_type=core.job_type or f.get("description", "").partition("(")[0],
            user_id=core.user,
            queue=core.queue,
            state=state,
            seq=mark.seq,
            status_seq=mark.status_seq,
            priority=core.priority,
            progress=1.0 if state == "completed" else max(0.0, min(1.0, float(f.get("x_progress", 0)))),
            step=f.get("x_step", ""),
            items_done=record.whole(f.get("x_done", "0")),
            items_total=record.whole(f.get("x_total", "0")),
            created_at=_time(f, "created_at") or 0,
            due_at=damage.moment(f["x_due"]) if "x_due" in f else None,
            started_at=started,
            ended_at=ended if state in ("completed", "failed", "cancelled") else None,
            execution_seconds=_execution_seconds(run.ran, state, started, ended, now, waited="worker_name" not in f),
            error=f.get("x_error", "failed without a message") if state == "failed" else None,
            attempt=run.attempt,
            restarts=run.restarts,
            worker=f.get("worker_name"),
            max_attempts=core.max_attempts,
            retries_left=record.whole(f["retries_left"]) if "retries_left" in f else None,
            attempts=record.read_attempts(f, state, run, started, ended),
            reason=f.get("x_reason"),
            depends_on=record.read_dependencies(f),
            on_failure=record.read_policy(f),
            dependents=dependents,
            dependents_total=dependents_total,
            expires_in=record.whole(f["x_expires"]) if "x_expires" in f else None,
            schedule_id=f.get("x_schedule"),
            announced=mark.status == f["status"] or {mark.status, f["status"]} == {"queued", "rate_limited"},
        )

    async def stats(self) -> Stats:
        """Counts, limits and who is alive, from one script call."""
        counts, total, per_user, cleanup, now, workers, servers_rss, memory, report = await self._namespace.run(
            "stats", {}
        )
        return Stats(
            counts=dict(zip(_states(), counts, strict=True)),
            limit_total=total,
            limit_per_user=per_user,
            last_cleanup=int(cleanup) if cleanup else None,
            workers=tuple(_worker(row, int(now)) for row in workers),
            servers_rss_mb=servers_rss,
            redis_memory_mb=int(memory) // 1_000_000,
            server_time=int(now),
            cleanup=json.loads(report) if report else None,
        )


async def _nothing() -> None:
    return None


def _waiting(row: list[Any]) -> Waiting:
    reason, detail, ahead, position, eta = row
    return Waiting(
        reason=reason.decode(),
        detail=detail.decode("utf-8", "replace"),
        ahead_own=ahead if ahead >= 0 else None,
        position=position if position >= 0 else None,
        eta_seconds=round(eta / 1_000_000, 1) if eta >= 0 else None,
    )


def _states() -> tuple[State, ...]:
    return STATES  # type: ignore[return-value]


def _score(text: bytes) -> int:
    return int(max(1.0, min(1e18, float(text)))) if b"." in text or not text.isdigit() else min(int(text), 10**18)


def _time(f: dict[str, str], name: str) -> int | None:
    return rq_format.parse_time(f[name].encode()) if name in f else None


def _execution_seconds(
    ran: int, state: State, started: int | None, ended: int | None, now: int, *, waited: bool
) -> float:
    """Earlier attempts (`ran`, microseconds) and the present or last one. `waited`: when it ended nobody ran it."""
    if state == "running":
        ran += max(0, now - (started or now))
    elif started is not None and ended is not None and state != "pending" and not waited:
        ran += max(0, ended - started)
    return ran / 1_000_000


def _worker(row: list[bytes | int], now: int) -> WorkerInfo:
    name, host, pid, queues, concurrency, running, rss_mb, beat, drain = (
        value.decode() if isinstance(value, bytes) else str(value) for value in row
    )
    return WorkerInfo(
        name=name,
        host=host,
        # Stock workers write these two, and whoever else can.
        pid=int(pid) if pid.isdecimal() else 0,
        queues=tuple(queues.split(",")),
        concurrency=int(concurrency),
        running=int(running),
        rss_mb=int(rss_mb),
        heartbeat_age_seconds=max(0.0, (now - int(beat)) / 1_000_000) if beat else 0.0,
        stock=not beat,
        draining=bool(drain),
    )

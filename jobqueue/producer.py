"""The side that hands jobs in and changes its mind about them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final, TypeVar

import orjson

from jobqueue import rq_format
from jobqueue.errors import (
    DependencyEnded,
    DependencyNotFound,
    DuplicateJob,
    JobNotFound,
    OnceConflict,
    ScheduleSuperseded,
    UniqueKeyTaken,
    WrongState,
)
from jobqueue.job import JOB_TYPE_FUNCTION, Enqueued, Firing, NewJob
from jobqueue.keys import is_job_id
from jobqueue.namespace import Namespace
from jobqueue.wire import Argument

T = TypeVar("T")
# Of one job among many.
Answer = Enqueued | DuplicateJob | DependencyNotFound
Refusal = JobNotFound | WrongState | UniqueKeyTaken | DependencyEnded

# A call of this many jobs keeps everybody else waiting for some five milliseconds.
PER_CALL: Final = 200
DEPENDENTS_PER_CALL: Final = 500
MOST_NUMBER: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Cancelled:
    """`changed` is False when the job was cancelled already."""

    job_id: str
    changed: bool


class Producer:
    """`cancelled_ttl`: seconds that the record of a cancelled job is kept."""

    def __init__(self, namespace: Namespace, *, cancelled_ttl: int = 7200) -> None:
        self._namespace = namespace
        self._cancelled_ttl = cancelled_ttl

    async def enqueue(self, job: NewJob, *, once: str | None = None, firing: Firing | None = None) -> Enqueued:
        """Accept one job, durably when this returns. The same id with the same content is answered, not repeated.

        `once`: an idempotency key, remembered with this user and content for a day: given again, whatever the id, the
        answer is the first job. `firing`: the tick of a schedule, which is over when this returns. Raises DuplicateJob,
        OnceConflict, DependencyNotFound, ScheduleSuperseded, QueueFull, QueueUnavailable (then ask again with the same
        id or key), ValueError for an id or a number that RQ cannot read.
        """
        token = "" if once is None else _token(job.user_id, once)
        answer = (await self._enqueue_alike([job], token, firing))[0]
        if not isinstance(answer, Enqueued):
            raise answer
        return answer

    async def is_remembered(self, user_id: str, once: str) -> bool:
        """Whether `enqueue` with this idempotency key is answered from memory."""
        return bool(await self._namespace.call("EXISTS", self._namespace.keys.once(_token(user_id, once))))

    async def enqueue_many(self, jobs: Sequence[NewJob]) -> list[Answer]:
        """Accept many; one answer a job, in order. Jobs that share their options travel together, 200 a call,
        fewer when they depend on others.

        Raises as `enqueue` does; parts may have been accepted then, so ask again with the same ids.
        """
        parts = [part for _, alike in groupby(jobs, _options) for part in _parts(alike)]
        if len(parts) == 1:
            return await self._enqueue_alike(parts[0])
        answers: list[Answer] = []
        before: asyncio.Task[list[Answer]] | None = None
        for part in parts:
            call = asyncio.create_task(self._enqueue_alike(part), name="enqueue-part")
            # Sent before the next part is encoded: Redis and this process work at the same time, two parts at most.
            await asyncio.sleep(0)
            if before is not None:
                await asyncio.wait({before})
                if before.exception() is not None:
                    await asyncio.wait({call})
                answers += before.result()
            before = call
        return answers if before is None else answers + await before

    async def _enqueue_alike(
        self, jobs: Sequence[NewJob], once: str = "", firing: Firing | None = None
    ) -> list[Answer]:
        model = jobs[0]
        _check_numbers(model)
        items: list[Argument] = []
        for job in jobs:
            if not is_job_id(job.job_id):
                raise ValueError(f"job_id {job.job_id!r}: only letters, digits, - and _, at most 255")
            items += (*_item(job), self._rare(job) if _is_rare(job) else "")
        given: dict[str, Argument] = {
            "queue": model.queue,
            "timeout": model.timeout_seconds,
            "max_attempts": model.max_attempts,
            "max_lost_attempts": model.max_lost_attempts,
            "result_ttl": model.result_ttl,
            "failure_ttl": model.failure_ttl,
            "once": once,
            "schedule_id": firing.schedule_id if firing else "",
            "tick": firing.tick if firing else "",
            "following": firing.following or "" if firing else "",
        }
        replies = await self._namespace.run("enqueue", given, items)
        return [_answer(job, reply) for job, reply in zip(jobs, replies, strict=True)]

    def _rare(self, job: NewJob) -> bytes:
        """What few jobs have, as `enqueue.lua` takes it."""
        rare: dict[str, Any] = {}
        if job.max_attempts > 1:
            delays = [
                min(job.backoff_max_seconds, job.backoff_seconds * 2**n) for n in range(min(job.max_attempts - 1, 30))
            ]
            rare["backoff"] = f"{job.backoff_seconds:g} {job.backoff_max_seconds:g}"
            rare["intervals"] = orjson.dumps([round(delay) for delay in delays]).decode()
        if job.depends_on:
            rare |= {"parents": list(dict.fromkeys(job.depends_on)), "anyway": job.on_failure == "run"}
        if job.delay_seconds is not None:
            rare["delay"] = job.delay_seconds
        if job.unique_key is not None:
            rare["unique"] = _token(job.user_id, job.unique_key)
        if job.expires_in is not None:
            rare["expires"] = job.expires_in
        if job.schedule_id is not None:
            rare["schedule"] = job.schedule_id
        return orjson.dumps({**rare, "keep": self._cancelled_ttl})

    async def cancel(self, job_id: str) -> Cancelled:
        """Raises JobNotFound, WrongState (it has ended)."""
        changed = await self._namespace.run("cancel", {"id": job_id, "retention": self._cancelled_ttl})
        return Cancelled(job_id, bool(changed))

    async def cancel_many(self, job_ids: Sequence[str]) -> list[Cancelled | Refusal]:
        """Each by itself, all sent at once; answers in order. Raises QueueUnavailable when one had no answer."""
        return await _each(self.cancel(job_id) for job_id in job_ids)

    async def remove(self, job_id: str) -> None:
        """Delete an ended job with everything Redis holds of it. Raises JobNotFound, WrongState, StillStopping."""
        while not await self._namespace.run("remove", {"id": job_id, "batch": DEPENDENTS_PER_CALL}):
            pass

    async def restart_many(self, job_ids: Sequence[str]) -> list[Refusal | None]:
        """As `cancel_many`; None = restarted."""
        return await _each(self.restart(job_id) for job_id in job_ids)

    async def restart(
        self, job_id: str, *, args: Sequence[Any] | None = None, function: str = JOB_TYPE_FUNCTION
    ) -> None:
        """Run a failed or cancelled job afresh. With `args` the stored call becomes `function(*args)`.

        Raises JobNotFound, WrongState, UniqueKeyTaken, DependencyEnded.
        """
        data = b"" if args is None else rq_format.encode_call(function, args, {})
        await self._namespace.run("restart", {"id": job_id, "has_data": int(args is not None), "data": data})


async def _each(changes: Iterable[Awaitable[T]]) -> list[T | Refusal]:
    """The refusal of one job is its answer; any other failure is raised when all have ended."""
    answers = await asyncio.gather(*changes, return_exceptions=True)
    kept: list[T | Refusal] = []
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, Refusal):
            raise answer
        kept.append(answer)
    return kept


def _token(user_id: str, key: str) -> str:
    """What users choose as their keys never becomes a part of a Redis key."""
    return hashlib.blake2b(f"{len(user_id)}|{user_id}|{key}".encode(), digest_size=16).hexdigest()


def _is_rare(job: NewJob) -> bool:
    # Asked twice for each job: a list of the four would cost more than all the rest of the answer.
    return (
        job.max_attempts > 1
        or bool(job.depends_on)
        or job.unique_key is not None
        or job.expires_in is not None
        or job.delay_seconds is not None
        or job.schedule_id is not None
    )


def _parts(jobs: Iterable[NewJob]) -> Iterator[list[NewJob]]:
    """Each job that another depends on costs as much as a job."""
    part: list[NewJob] = []
    room = PER_CALL
    for job in jobs:
        weight = 1 + len(job.depends_on)
        if part and weight > room:
            yield part
            part, room = [], PER_CALL
        part.append(job)
        room -= weight
    if part:
        yield part


def _check_numbers(job: NewJob) -> None:
    """Those that a stock worker could not work with: it would end, not only the job."""
    for name in ("timeout_seconds", "max_attempts", "max_lost_attempts"):
        if abs(getattr(job, name)) > MOST_NUMBER:
            raise ValueError(f"{name} must be at most {MOST_NUMBER}")


def _options(job: NewJob) -> tuple[Argument, ...]:
    return (
        job.queue,
        job.timeout_seconds,
        job.max_attempts,
        job.max_lost_attempts,
        job.result_ttl,
        job.failure_ttl,
    )


def _item(job: NewJob) -> tuple[Argument, ...]:
    data = rq_format.encode_call(job.function, job.args, job.kwargs)
    due = job.due or 0
    description = f"{job.job_type} of {job.user_id}" if job.job_type else f"{job.function}()"
    return job.job_id, job.user_id, job.job_type, data, description, job.priority, due, _digest(job, data, due)


def _digest(job: NewJob, data: bytes, due: int) -> bytes:
    """Tells whether a submission under a known id is the same one. Not secret; collisions must only be unlikely."""
    said = f"{job.user_id}|{job.job_type}|{job.queue}|{job.priority}|{due}|{job.timeout_seconds}|{job.max_attempts}|"
    if _is_rare(job):
        said += f"{job.backoff_seconds}|{job.backoff_max_seconds}|{','.join(job.depends_on)}|{job.on_failure}|"
        said += f"{job.unique_key}|{job.expires_in}|{job.delay_seconds}|"
    content = said.encode() + data
    return hashlib.blake2b(content, digest_size=12).hexdigest().encode()


def _answer(job: NewJob, reply: list[bytes]) -> Answer:
    outcome, state, job_id = (value.decode() for value in reply)
    if outcome == "once_conflict":
        raise OnceConflict("the idempotency key was used for another submission")
    if outcome == "superseded":
        raise ScheduleSuperseded("this tick was fired before")
    if outcome == "conflict":
        return DuplicateJob(job.job_id)
    if outcome == "no_dependency":
        return DependencyNotFound(job_id)
    return Enqueued(job_id, state, outcome == "created")  # type: ignore[arg-type]

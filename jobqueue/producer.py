"""The side that hands jobs in and changes its mind about them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final, TypeVar

from jobqueue import rq_format
from jobqueue.errors import DuplicateJob, JobNotFound, OnceConflict, WrongState
from jobqueue.job import JOB_TYPE_FUNCTION, Enqueued, NewJob
from jobqueue.namespace import Namespace
from jobqueue.wire import Argument

T = TypeVar("T")

# A call of this many jobs keeps everybody else waiting for some five milliseconds.
PER_CALL: Final = 200


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

    async def enqueue(self, job: NewJob, *, once: str | None = None) -> Enqueued:
        """Accept one job, durably when this returns. The same id with the same content is answered, not repeated.

        `once`: an idempotency key, remembered with this user and content for a day: given again, whatever the id, the
        answer is the first job. Raises DuplicateJob, OnceConflict, QueueFull, QueueUnavailable (then ask again with the
        same id or key).
        """
        token = "" if once is None else _once_token(job.user_id, once)
        answer = (await self._enqueue_alike([job], token))[0]
        if isinstance(answer, DuplicateJob):
            raise answer
        return answer

    async def enqueue_many(self, jobs: Sequence[NewJob]) -> list[Enqueued | DuplicateJob]:
        """Accept many; one answer a job, in order. Jobs that share their options travel together, 200 a call.

        Raises as `enqueue` does; parts may have been accepted then, so ask again with the same ids.
        """
        parts = [
            alike[first : first + PER_CALL]
            for alike in (list(same) for _, same in groupby(jobs, _options))
            for first in range(0, len(alike), PER_CALL)
        ]
        if len(parts) == 1:
            return await self._enqueue_alike(parts[0])
        answers: list[Enqueued | DuplicateJob] = []
        before: asyncio.Task[list[Enqueued | DuplicateJob]] | None = None
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

    async def _enqueue_alike(self, jobs: Sequence[NewJob], once: str = "") -> list[Enqueued | DuplicateJob]:
        model = jobs[0]
        items: list[Argument] = []
        for job in jobs:
            items += _item(job)
        given: dict[str, Argument] = {
            "queue": model.queue,
            "timeout": model.timeout_seconds,
            "max_attempts": model.max_attempts,
            "max_lost_attempts": model.max_lost_attempts,
            "result_ttl": model.result_ttl,
            "failure_ttl": model.failure_ttl,
            "once": once,
        }
        replies = await self._namespace.run("enqueue", given, items)
        return [_answer(job, reply) for job, reply in zip(jobs, replies, strict=True)]

    async def cancel(self, job_id: str) -> Cancelled:
        """Raises JobNotFound, WrongState (it has ended)."""
        changed = await self._namespace.run("cancel", {"id": job_id, "retention": self._cancelled_ttl})
        return Cancelled(job_id, bool(changed))

    async def cancel_many(self, job_ids: Sequence[str]) -> list[Cancelled | JobNotFound | WrongState]:
        """Each by itself, all sent at once; answers in order. Raises QueueUnavailable when one had no answer."""
        return await _each(self.cancel(job_id) for job_id in job_ids)

    async def restart_many(self, job_ids: Sequence[str]) -> list[JobNotFound | WrongState | None]:
        """As `cancel_many`; None = restarted."""
        return await _each(self.restart(job_id) for job_id in job_ids)

    async def restart(
        self, job_id: str, *, args: Sequence[Any] | None = None, function: str = JOB_TYPE_FUNCTION
    ) -> None:
        """Run a failed or cancelled job afresh. With `args` the stored call becomes `function(*args)`.

        Raises JobNotFound, WrongState.
        """
        data = b"" if args is None else rq_format.encode_call(function, args, {})
        await self._namespace.run("restart", {"id": job_id, "has_data": int(args is not None), "data": data})


async def _each(changes: Iterable[Awaitable[T]]) -> list[T | JobNotFound | WrongState]:
    """The refusal of one job is its answer; any other failure is raised when all have ended."""
    answers = await asyncio.gather(*changes, return_exceptions=True)
    kept: list[T | JobNotFound | WrongState] = []
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, (JobNotFound, WrongState)):
            raise answer
        kept.append(answer)
    return kept


def _once_token(user_id: str, once: str) -> str:
    """What users choose as their keys never becomes a part of a Redis key."""
    return hashlib.blake2b(f"{user_id}|{once}".encode(), digest_size=16).hexdigest()


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
    content = said.encode() + data
    return hashlib.blake2b(content, digest_size=12).hexdigest().encode()


def _answer(job: NewJob, reply: list[bytes]) -> Enqueued | DuplicateJob:
    outcome, state, job_id = (value.decode() for value in reply)
    if outcome == "once_conflict":
        raise OnceConflict("the idempotency key was used for another submission")
    if outcome == "conflict":
        return DuplicateJob(job.job_id)
    return Enqueued(job_id, state, outcome == "created")  # type: ignore[arg-type]

"""The side that takes jobs and answers for them. Every call carries the execution ids: a late one changes nothing."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

from jobqueue import rq_format
from jobqueue.errors import QueueUnavailable
from jobqueue.job import Claimed, Completed, Failed, Halted, Outcome, Progress, Released, Retried, Verdict
from jobqueue.namespace import Namespace
from jobqueue.record import EMPTY_CORE, parse_core
from jobqueue.wire import Argument

# No clock of an event loop takes all that a stock producer may write.
LONGEST_TIMEOUT: Final = 10**9

# Why a claim brought less than was wanted: '' it did not.
Shortage = Literal["", "empty", "limit", "suspended", "draining"]


@dataclass(frozen=True, slots=True)
class Ended:
    """An execution and what became of it."""

    job: Claimed
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Batch:
    """Answer of `Lane.advance`: verdicts in the order of what was ended, jobs claimed, why not more."""

    verdicts: list[Verdict]
    jobs: list[Claimed]
    shortage: Shortage
    server_time: int


class Lane:
    """One claim sequence of a worker: at most one call in flight. A worker with two lanes keeps Redis and itself busy.

    `eager_executions`: write RQ's execution records at claim. `trust_pickles`: load any pickle that a producer stored.
    Each call has a number; a call whose reply was lost is sent again with the same number and brings the same jobs.
    """

    def __init__(
        self,
        namespace: Namespace,
        worker: str,
        lane: int,
        queues: Sequence[str],
        lease_us: int,
        *,
        eager_executions: bool = False,
        trust_pickles: bool = False,
    ) -> None:
        self._namespace = namespace
        self._worker = worker
        self._lane = lane
        self._queues = ",".join(queues)
        self._lease_us = lease_us
        self._eager = int(eager_executions)
        self._trust_pickles = trust_pickles
        self._number = 0
        self._open: tuple[dict[str, Argument], list[Argument]] | None = None

    async def advance(self, ended: Sequence[Ended], want: int) -> Batch:
        """Finish a batch and claim up to `want` jobs, in one script.

        Raises QueueUnavailable: nothing is known then; call `repeat` until it answers, before anything else.
        UnknownWorker: nothing was changed; register and `repeat`.
        """
        self._number += 1
        given: dict[str, Argument] = {
            "worker": self._worker,
            "lane": self._lane,
            "number": self._number,
            "queues": self._queues,
            "want": want,
            "execution_prefix": secrets.token_hex(8),
            "lease": self._lease_us,
            "eager": self._eager,
        }
        items: list[Argument] = []
        for entry in ended:
            items += encode_outcome(entry.job, entry.outcome)
        self._open = (given, items)
        return await self.repeat()

    async def repeat(self) -> Batch:
        """Send the open call again; safe whether or not it was carried out before."""
        if self._open is None:
            raise QueueUnavailable("no call is open")
        given, items = self._open
        reply = await self._namespace.run("advance" if items else "claim", given, items)
        self._open = None
        reason, now, verdicts, jobs = reply
        return Batch(
            verdicts=[verdict.decode() for verdict in verdicts],
            jobs=[decode_claimed(job, self._trust_pickles) for job in jobs],
            shortage=reason.decode(),
            server_time=int(now),
        )


class Consumer:
    def __init__(self, namespace: Namespace, worker: str) -> None:
        self._namespace = namespace
        self._worker = worker

    async def finish(self, ended: Sequence[Ended]) -> list[Verdict]:
        """Record outcomes without claiming. Repeatable: the same execution gets the same verdict."""
        items: list[Argument] = []
        for entry in ended:
            items += encode_outcome(entry.job, entry.outcome)
        verdicts = await self._namespace.run("finish", {"worker": self._worker}, items)
        return [verdict.decode() for verdict in verdicts]

    async def progress(self, notes: Sequence[tuple[Claimed, Progress]]) -> list[bool]:
        """Write how far jobs are; False = the execution has lost its lease and nothing was written."""
        items: list[Argument] = []
        for job, note in notes:
            items += [
                job.job_id,
                job.execution_id,
                "" if note.fraction is None else note.fraction,
                note.step or "",
                "" if note.done is None else note.done,
                "" if note.total is None else note.total,
            ]
        return [bool(kept) for kept in await self._namespace.run("progress", {}, items)]


def encode_outcome(job: Claimed, outcome: Outcome) -> tuple[Argument, ...]:
    """kind job_id execution_id value error permanent, as `finish_jobs.lua` takes them."""
    if isinstance(outcome, Completed):
        value = rq_format.encode_result(outcome.result, job.serializer)
        return "completed", job.job_id, job.execution_id, value, "", 0
    if isinstance(outcome, Failed):
        trace = rq_format.encode_error(outcome.detail or outcome.error)
        return "failed", job.job_id, job.execution_id, trace, outcome.error, int(outcome.permanent)
    if isinstance(outcome, Retried):
        value = rq_format.encode_result(outcome.value, job.serializer)
        told = {"most": outcome.most, "intervals": outcome.intervals, "front": outcome.at_front}
        return "retried", job.job_id, job.execution_id, value, orjson.dumps(told), 0
    if isinstance(outcome, Halted):
        return "halted", job.job_id, job.execution_id, rq_format.encode_error(outcome.error), outcome.error, 0
    kind = "released" if isinstance(outcome, Released) else "stopped"
    return kind, job.job_id, job.execution_id, "", "", 0


def decode_claimed(row: list[Any], trust_pickles: bool = False) -> Claimed:
    """`row`: id, execution, core, attempt, fence, failures, data."""
    job_id, execution, packed, attempt, fence, failures, data = row
    problem = None
    core = EMPTY_CORE
    try:
        core = parse_core(packed.decode("utf-8", "replace"))
        call = rq_format.decode_call(data, trusted=trust_pickles)
    except (rq_format.DecodeError, ValueError) as error:
        call = rq_format.Call("", [], {}, "json")
        problem = str(error)
    return Claimed(
        job_id=job_id.decode(),
        execution_id=execution.decode(),
        function=call.function,
        args=call.args,
        kwargs=call.kwargs,
        job_type=core.job_type,
        user_id=core.user,
        queue=core.queue,
        created=core.created,
        attempt=int(attempt),
        fence=int(fence),
        failures=int(failures),
        max_attempts=core.max_attempts,
        timeout_seconds=min(core.timeout, LONGEST_TIMEOUT) if core.timeout > 0 else None,
        serializer=call.serializer,
        instance=call.instance,
        has_callbacks="c" in core.flags,
        decode_error=problem,
    )

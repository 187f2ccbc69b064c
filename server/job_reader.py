"""Reads of one loop tick travel together, and a job that many ask for is read once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import islice
from typing import Any, Final, TypeVar

from jobqueue import Inspector, Job
from jobqueue.errors import JobNotFound
from jobqueue.states import State

T = TypeVar("T")

WAITING: Final[tuple[State, ...]] = ("pending", "scheduled")
BATCH: Final = 200

_Answers = dict[tuple[str, bool], Job | None]


def chunks(items: Sequence[T]) -> list[list[T]]:
    rest = iter(items)
    return [part for _ in range(0, len(items), BATCH) if (part := list(islice(rest, BATCH)))]


class JobReader:
    """Nobody joins a read that was sent before he asked: it could be older than an answer given meanwhile."""

    def __init__(self, inspector: Inspector) -> None:
        self._inspector = inspector
        self._wanted: set[tuple[str, bool]] = set()
        self._next: asyncio.Task[_Answers] | None = None
        # By identity: those who joined one read hold the same object.
        self._unexplained: dict[int, Job] = {}
        self._next_explanation: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    async def get(self, job_id: str, *, result: bool = False) -> Job:
        """Raises JobNotFound, QueueUnavailable."""
        task = self._next or self._start()
        self._wanted.add((job_id, result))
        job = (await asyncio.shield(task))[job_id, result]
        if job is None:
            raise JobNotFound(job_id)
        return job

    async def get_known(self, job_ids: Sequence[str]) -> list[Job]:
        """Those that there are, in one read. Raises QueueUnavailable."""
        task = self._next or self._start()
        self._wanted.update((job_id, False) for job_id in job_ids)
        answers = await asyncio.shield(task)
        return [job for job_id in job_ids if (job := answers[job_id, False]) is not None]

    async def get_explained(self, job_id: str) -> Job:
        """With the reason why it waits, if it does. Raises as `get`."""
        return await self.explain(await self.get(job_id))

    async def explain(self, job: Job) -> Job:
        """Costs nothing when it does not wait. Raises QueueUnavailable."""
        if job.state in WAITING:
            task = self._next_explanation or self._start_explaining()
            self._unexplained[id(job)] = job
            await asyncio.shield(task)
        return job

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self) -> asyncio.Task[_Answers]:
        self._next = asyncio.get_running_loop().create_task(self._read(), name="job-reads")
        self._own(self._next)
        return self._next

    def _start_explaining(self) -> asyncio.Task[None]:
        self._next_explanation = asyncio.get_running_loop().create_task(self._explain(), name="job-explanations")
        self._own(self._next_explanation)
        return self._next_explanation

    def _own(self, task: asyncio.Task[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            # Looked at here, because all who asked may have left.
            task.exception()

    async def _explain(self) -> None:
        jobs, self._unexplained, self._next_explanation = list(self._unexplained.values()), {}, None
        await asyncio.gather(*map(self._inspector.explain, chunks(jobs)))

    async def _read(self) -> _Answers:
        wanted, self._wanted, self._next = self._wanted, set(), None
        plain = [job_id for job_id, result in wanted if not result]
        full = [job_id for job_id, result in wanted if result]
        if not full and len(plain) <= BATCH:
            return await self._read_plain(plain)
        parts = await asyncio.gather(*map(self._read_plain, chunks(plain)), *map(self._read_full, full))
        return {key: job for part in parts for key, job in part.items()}

    async def _read_plain(self, job_ids: list[str]) -> _Answers:
        jobs = await self._inspector.get_many(job_ids)
        return {(job_id, False): job for job_id, job in zip(job_ids, jobs, strict=True)}

    async def _read_full(self, job_id: str) -> _Answers:
        try:
            return {(job_id, True): await self._inspector.get(job_id, result=True)}
        except JobNotFound:
            return {(job_id, True): None}

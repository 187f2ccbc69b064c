"""RQ's own job objects, for functions and callbacks that were written for RQ. The package is needed for these only."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any

import redis

from jobqueue.errors import JobNotFound, StockUnavailable
from jobqueue.namespace import Namespace


def enter(job: Any) -> None:
    """From here on `rq.get_current_job()` answers with this `rq.job.Job`, in the present task or thread."""
    from rq.job import _current_job

    _current_job.set(job)


def set_status(job: Any, status: str) -> None:
    """What this object says of itself; nothing is stored."""
    from rq.job import JobStatus

    job._status = JobStatus(status)


@dataclass(frozen=True, slots=True)
class StoredJob:
    """A job's record as it was read, for another process. `url`: where it is stored, for what the job's code does."""

    url: str
    prefix: str
    record: dict[bytes, bytes]

    async def get(self, job_id: str, serializer: str) -> Any:
        """As `StockJobs.get`."""
        _check(self.prefix)
        return _restored(job_id, serializer, self.record, redis.Redis.from_url(self.url))


class StockJobs:
    def __init__(self, url: str, namespace: Namespace) -> None:
        self._url = url
        self._namespace = namespace
        self._connection: redis.Redis | None = None

    async def get(self, job_id: str, serializer: str) -> Any:
        """An `rq.job.Job` as it is stored now, with a connection of the blocking kind.

        Raises StockUnavailable when RQ is not installed or looks at other keys, JobNotFound, QueueUnavailable.
        """
        _check(self._namespace.keys.prefix)
        record = await self._record(job_id)
        if self._connection is None:
            self._connection = redis.Redis.from_url(self._url)
        return _restored(job_id, serializer, record, self._connection)

    async def stored(self, job_id: str) -> StoredJob:
        """Raises JobNotFound, QueueUnavailable."""
        return StoredJob(self._url, self._namespace.keys.prefix, await self._record(job_id))

    async def _record(self, job_id: str) -> dict[bytes, bytes]:
        raw = await self._namespace.call("HGETALL", self._namespace.keys.job(job_id))
        if not raw:
            raise JobNotFound(job_id)
        return dict(zip(raw[::2], raw[1::2], strict=True))

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


def _check(prefix: str) -> None:
    if importlib.util.find_spec("rq") is None:
        raise StockUnavailable("the package rq is not installed here, and callbacks take its job objects")
    from rq.defaults import RQ_KEY_PREFIX

    if prefix != RQ_KEY_PREFIX:
        raise StockUnavailable(f"RQ_KEY_PREFIX is {RQ_KEY_PREFIX} in this process, the queue's prefix is {prefix}")


def _restored(job_id: str, serializer: str, record: dict[bytes, bytes], connection: redis.Redis) -> Any:
    from rq.job import Job

    job = Job(job_id, connection=connection, serializer=serializer)
    job.restore(dict(record))
    return job

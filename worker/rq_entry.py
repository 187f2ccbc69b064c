"""The function that records of job types name: a stock `rq worker` can import and run it.

It runs in RQ's own work horse, by the configuration found as ever (`config.toml` in the working directory, then
`JOBQUEUE_*`). Progress goes into the job's `meta`; limits of memory, cancelling and leases are what RQ makes of them.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

from jobqueue.config import Settings, load_settings
from jobqueue.job import DEFAULT_USER
from worker.context import PermanentError
from worker.job_context import Context, JobFacts, url_rules
from worker.note import Note
from worker.resolve import job_function, validated

SAVE_SECONDS: Final = 0.25


def run_job(job_type: str, parameters: dict[str, Any]) -> Any:
    settings = load_settings()
    kind = settings.job_types.get(job_type)
    if kind is None:
        raise PermanentError("UnknownJobType", f"{job_type} is not configured here")
    function = job_function(kind.function, kind.parameters)
    meta = _Meta(_current_job())
    context = Context(_facts(settings, job_type, meta.job), meta.put)
    given = validated(function.parameters, parameters)
    try:
        result = function.call(context, given)
        return asyncio.run(result) if function.is_async else result
    finally:
        meta.save()


def _current_job() -> Any:
    try:
        from rq import get_current_job
    except ImportError:
        raise RuntimeError("worker.rq_entry runs inside a worker of RQ, and the package rq is not installed") from None
    job = get_current_job()
    if job is None:
        raise RuntimeError("worker.rq_entry runs inside a worker of RQ, and there is no current job")
    return job


def _facts(settings: Settings, job_type: str, job: Any) -> JobFacts:
    return JobFacts(
        job_id=job.id,
        job_type=job_type,
        user_id=(job.rate_limit_key or "").removeprefix("user:") or DEFAULT_USER,
        attempt=1,
        fence=0,
        jobs_dir=str(settings.storage.jobs_dir),
        input_root=str(settings.storage.input_root),
        deadline=None if not job.timeout or job.timeout < 0 else time.monotonic() + job.timeout,
        llm_base_urls=settings.llm.base_urls,
        url_rules=url_rules(settings.documents),
        processes=settings.job_types[job_type].processes,
        memory_limit_mb=settings.job_types[job_type].memory_limit_mb,
    )


class _Meta:
    """Writes notes into `meta`, not more often than SAVE_SECONDS apart."""

    def __init__(self, job: Any) -> None:
        self.job = job
        self._saved_at = 0.0
        self._unsaved = False

    def put(self, note: Note) -> None:
        self.job.meta["progress"] = note._asdict()
        self._unsaved = True
        if time.monotonic() - self._saved_at >= SAVE_SECONDS:
            self.save()

    def save(self) -> None:
        if self._unsaved:
            self.job.save_meta()
            self._saved_at = time.monotonic()
            self._unsaved = False

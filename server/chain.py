"""The jobs that came before one: those that it reads from, those that these read from, and so on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from jobqueue import Job, Settings
from jobqueue.errors import ConfigurationError
from server.answers import job_json
from server.app_keys import READER, SETTINGS
from server.job_reader import JobReader
from server.parameters import load_model

# A pipeline takes one look: its jobs name all that come before them.
MOST_LOOKS: Final = 8
MOST_JOBS: Final = 100


async def full_json(app: web.Application, job: Job) -> dict[str, Any]:
    """`job_json`, and `chain` for a job that reads from others."""
    if not (job.depends_on and _reads_from_jobs(app[SETTINGS], job.job_type)):
        return job_json(job)
    return {**job_json(job), "chain": [link_json(link) for link in await chain_of(app[READER], job)]}


async def chain_of(reader: JobReader, job: Job) -> list[Job]:
    """Each after those that it depends on. Without those whose records are gone. Raises QueueUnavailable."""
    known: dict[str, Job] = {}
    asked = {job.job_id}
    wanted = [parent for parent in job.depends_on if parent not in asked]
    for _ in range(MOST_LOOKS):
        wanted = wanted[: MOST_JOBS - len(known)]
        if not wanted:
            break
        asked.update(wanted)
        found = await reader.get_known(wanted)
        known |= {each.job_id: each for each in found}
        wanted = list(dict.fromkeys(parent for each in found for parent in each.depends_on if parent not in asked))
    ordered: list[Job] = []
    seen = {job.job_id}
    for parent in job.depends_on:
        _append(parent, known, ordered, seen)
    return ordered


def _append(job_id: str, known: Mapping[str, Job], ordered: list[Job], seen: set[str]) -> None:
    """What it depends on first. `seen`: others may have written records that go round in a circle."""
    job = known.get(job_id)
    if job is None or job_id in seen:
        return
    seen.add(job_id)
    for parent in job.depends_on:
        _append(parent, known, ordered, seen)
    ordered.append(job)


def link_json(job: Job) -> dict[str, Any]:
    return {"job_id": job.job_id, "job_type": job.job_type, "status": job.state, "progress": job.progress}


def _reads_from_jobs(settings: Settings, job_type: str) -> bool:
    kind = settings.job_types.get(job_type)
    if kind is None:
        return False
    try:
        return hasattr(load_model(kind.parameters), "source_jobs")
    except ConfigurationError:
        return False

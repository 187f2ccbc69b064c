"""What jobs name when they are submitted: earlier jobs whose files they read, and uploaded files.

All lookups of a request travel together, and jobs that name nothing cost nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from aiohttp import web

from jobqueue import Inspector, Job, NewJob
from server import errors
from server.app_keys import QUEUE, UPLOADS
from server.errors import ApiError, InvalidParameterError, Problem, SourceFailedError, shown
from server.job_reader import chunks
from server.parameters import SourceJob
from server.submission import Checked, Draft
from server.uploads import Use

# `waits`: the job depends on its sources, so they may still run. `schedule`: each tick makes a job without looking.
# `restart`: the job keeps what it depended on before.
Occasion = Literal["waits", "restart", "schedule"]

ENDED_BADLY: Final = ("failed", "cancelled")
NO_UPLOADS: Final = "uploads expire; recurring jobs read files of the input folder, by their path"


@dataclass(frozen=True, slots=True)
class _Found:
    """A source job: in Redis, or of the same request (then it waits)."""

    user_id: str
    job_type: str
    state: str


async def settle(app: web.Application, entries: Sequence[Checked], *, occasion: Occasion = "waits") -> list[Checked]:
    """The same list, with a refusal for each job that names what there is not, or what is somebody else's.

    The files that the others name are kept until these jobs have ended. Raises QueueUnavailable.
    """
    drafts = [entry for entry in entries if isinstance(entry, Draft) and (entry.sources or entry.files)]
    if not drafts:
        return list(entries)
    places = _places(entries)
    wanted = {source.job_id for draft in drafts for source in draft.sources if source.job_id not in places}
    known = await _look_up(app[QUEUE].inspector, sorted(wanted))
    missing = await _keep_files(app, drafts, occasion)
    settled: list[Checked] = []
    for place, entry in enumerate(entries):
        if isinstance(entry, Draft) and (entry.sources or entry.files):
            found = {source.job_id: _find(source, place, settled, places, known) for source in entry.sources}
            settled.append(_judge(entry, found, missing, occasion) or entry)
        else:
            settled.append(entry)
    return await _with_repeated(app, entries, settled)


async def settle_one(
    app: web.Application, draft: Draft, *, once: str | None = None, occasion: Occasion = "waits"
) -> None:
    """Raises InvalidParameterError, SourceFailedError, QueueUnavailable.

    `once`: an idempotency key. A submission that was accepted before is not refused for what has ended since.
    """
    (settled,) = await settle(app, [draft], occasion=occasion)
    if isinstance(settled, ApiError):
        if once is not None and await app[QUEUE].producer.is_remembered(draft.job.user_id, once):
            return
        raise settled


def dependency_not_found(draft: Draft, parent: str) -> ApiError:
    """For what has gone since it was looked at."""
    problems = [_unknown(source) for source in draft.sources if source.job_id == parent]
    return InvalidParameterError(problems) if problems else errors.dependency_not_found(draft.job, parent)


def _places(entries: Sequence[Checked]) -> dict[str, int]:
    places: dict[str, int] = {}
    for place, entry in enumerate(entries):
        if isinstance(entry, Draft):
            places.setdefault(entry.job.job_id, place)
    return places


async def _look_up(inspector: Inspector, job_ids: Sequence[str]) -> dict[str, Job]:
    parts = await asyncio.gather(*map(inspector.get_many, chunks(job_ids)))
    return {job.job_id: job for part in parts for job in part if job is not None}


async def _keep_files(app: web.Application, drafts: Sequence[Draft], occasion: Occasion) -> set[tuple[str, str]]:
    """Those that are not there, as (user, file id)."""
    if occasion == "schedule" or not any(draft.files for draft in drafts):
        return set()
    uses = [
        Use(draft.job.user_id, file.file_id, draft.job.job_id, _start_of(draft.job))
        for draft in drafts
        for file in draft.files
    ]
    return await asyncio.to_thread(app[UPLOADS].keep, uses)


def _start_of(job: NewJob) -> float:
    """Unix seconds; the job does not start before."""
    due = 0.0 if job.due is None else job.due / 1_000_000
    return max(due, time.time() + (job.delay_seconds or 0.0))


def _find(
    source: SourceJob, place: int, settled: Sequence[Checked], places: Mapping[str, int], known: Mapping[str, Job]
) -> _Found | None:
    """Of the same request only those that stand before `place` and were not refused."""
    at = places.get(source.job_id)
    if at is None:
        job = known.get(source.job_id)
        return None if job is None else _Found(job.user_id, job.job_type, job.state)
    entry = settled[at] if at < place else None
    return _Found(entry.job.user_id, entry.job.job_type, "pending") if isinstance(entry, Draft) else None


def _judge(
    draft: Draft, found: Mapping[str, _Found | None], missing: set[tuple[str, str]], occasion: Occasion
) -> ApiError | None:
    wrong, ended = _file_problems(draft, missing, occasion), []
    for source in draft.sources:
        job = found[source.job_id]
        if job is None or job.user_id != draft.job.user_id:
            wrong.append(_unknown(source))
        elif job.job_type not in source.job_types:
            wanted = " or ".join(source.job_types)
            text = f"source_wrong_type: job {source.job_id} is of type {shown(job.job_type)}, not {wanted}"
            wrong.append((_loc(source.location), text))
        elif job.state in ENDED_BADLY:
            text = f"source_failed: job {source.job_id} is {job.state}; restart it first, or name another"
            ended.append((_loc(source.location), text))
        elif occasion == "restart" and job.state != "completed" and source.job_id not in draft.job.depends_on:
            text = f"source_not_completed: job {source.job_id} is {job.state}, and a restarted job does not wait for it"
            wrong.append((_loc(source.location), text))
    if wrong:
        return InvalidParameterError(wrong)
    return SourceFailedError(ended) if ended else None


def _file_problems(draft: Draft, missing: set[tuple[str, str]], occasion: Occasion) -> list[Problem]:
    if occasion == "schedule":
        return [(_loc(file.location), NO_UPLOADS) for file in draft.files]
    gone = [file for file in draft.files if (draft.job.user_id, file.file_id) in missing]
    return [(_loc(file.location), f"file_not_found: there is no file {shown(file.file_id)}") for file in gone]


def _unknown(source: SourceJob) -> Problem:
    return _loc(source.location), f"source_not_found: there is no job {shown(source.job_id)}"


def _loc(location: tuple[str | int, ...]) -> tuple[str | int, ...]:
    return ("parameters", *location)


async def _with_repeated(app: web.Application, entries: Sequence[Checked], settled: Sequence[Checked]) -> list[Checked]:
    """A job that there is already is answered as at first, whatever has become of what it names."""
    refused = {
        entry.job.job_id
        for entry, outcome in zip(entries, settled, strict=True)
        if isinstance(entry, Draft) and entry.is_named and isinstance(outcome, ApiError)
    }
    if not refused:
        return list(settled)
    known = await _look_up(app[QUEUE].inspector, sorted(refused))
    return [
        entry if isinstance(entry, Draft) and entry.job.job_id in known else outcome
        for entry, outcome in zip(entries, settled, strict=True)
    ]

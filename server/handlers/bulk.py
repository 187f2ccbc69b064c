"""Submit, cancel and restart many jobs in one request, each answered by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from aiohttp import web

from jobqueue import Cancelled, Enqueued, NewJob
from jobqueue.errors import DuplicateJob, JobNotFound, QueueFull, QueueUnavailable, WrongState
from jobqueue.keys import is_job_id
from server import errors, schemas
from server.app_keys import MUTATIONS, QUEUE, SETTINGS
from server.bodies import read_object
from server.errors import ApiError
from server.handlers.arguments import refuse_idempotency_key
from server.json_text import MOST_DEPTH
from server.responses import json_response
from server.submission import check_all

MOST_BYTES: Final = 16 * 1024 * 1024
# A job lies two levels down, and may be as deep as one that is submitted alone.
DEPTH: Final = MOST_DEPTH + 2

SUBMITTED_IN_PART: Final = (
    "The queue went away meanwhile: some of the jobs may have been accepted. "
    "Send them again with the same job_ids, which is safe: what was accepted is not repeated"
)
CHANGED_IN_PART: Final = (
    "The queue went away meanwhile: some of the jobs may have been changed. "
    "Send the same again: each is answered as it is then"
)

_Refusal = JobNotFound | WrongState


async def submit_bulk(request: web.Request) -> web.Response:
    refuse_idempotency_key(request)
    value = await read_object(request, most_bytes=MOST_BYTES, most_depth=DEPTH)
    wanted = schemas.parse(schemas.BulkSubmitBody, value).jobs
    checked = await check_all(request.app[SETTINGS], wanted)
    answers = iter(await _enqueue(request.app, checked))
    outcomes = [entry if isinstance(entry, ApiError) else next(answers) for entry in checked]
    body = _submitted_json([_submitted_entry(index, outcome) for index, outcome in enumerate(outcomes)])
    if not body["accepted"]:
        problem = (("jobs",), f"none of the {len(wanted)} jobs was accepted; results has the reasons")
        raise errors.InvalidParameterError([problem], context=body)
    return json_response(body, status=202)


async def _enqueue(app: web.Application, checked: Sequence[NewJob | ApiError]) -> list[Enqueued | DuplicateJob]:
    jobs = [entry for entry in checked if isinstance(entry, NewJob)]
    try:
        return await app[MUTATIONS].run(app[QUEUE].producer.enqueue_many(jobs), name="submit-bulk")
    except (QueueUnavailable, QueueFull):
        # With the ids that were made here: without them nobody could send the same again.
        job_ids = [entry.job_id if isinstance(entry, NewJob) else None for entry in checked]
        raise errors.QueueUnavailableError(SUBMITTED_IN_PART, context={"job_ids": job_ids}) from None


def _submitted_entry(index: int, outcome: Enqueued | DuplicateJob | ApiError) -> dict[str, Any]:
    match outcome:
        case Enqueued():
            return {"index": index, **schemas.submitted_json(outcome)}
        case DuplicateJob():
            return {"index": index, **errors.IdempotencyConflictError(outcome.job_id).body}
    return {"index": index, **outcome.body}


def _submitted_json(results: list[dict[str, Any]]) -> dict[str, Any]:
    rejected = sum("error" in entry for entry in results)
    return {"results": results, "accepted": len(results) - rejected, "rejected": rejected}


async def cancel_bulk(request: web.Request) -> web.Response:
    return await _change(request, request.app[QUEUE].producer.cancel_many, errors.cancel_refused, name="cancel-bulk")


async def restart_bulk(request: web.Request) -> web.Response:
    return await _change(request, request.app[QUEUE].producer.restart_many, errors.restart_refused, name="restart-bulk")


async def _change(
    request: web.Request,
    change: Callable[[Sequence[str]], Any],
    refused: Callable[[str, str], ApiError],
    *,
    name: str,
) -> web.Response:
    job_ids = schemas.parse(schemas.JobIdsBody, await read_object(request)).job_ids
    possible = [job_id for job_id in job_ids if is_job_id(job_id)]
    try:
        answers = iter(await request.app[MUTATIONS].run(change(possible), name=name))
    except (QueueUnavailable, QueueFull):
        raise errors.QueueUnavailableError(CHANGED_IN_PART) from None
    outcomes = [next(answers) if is_job_id(job_id) else JobNotFound(job_id) for job_id in job_ids]
    results = [_changed_entry(job_id, outcome, refused) for job_id, outcome in zip(job_ids, outcomes, strict=True)]
    unchanged = sum(isinstance(outcome, Cancelled) and not outcome.changed for outcome in outcomes)
    rejected = sum("error" in entry for entry in results)
    return json_response({"results": results, "changed": len(results) - rejected - unchanged, "rejected": rejected})


def _changed_entry(
    job_id: str, outcome: Cancelled | _Refusal | None, refused: Callable[[str, str], ApiError]
) -> dict[str, Any]:
    match outcome:
        case JobNotFound():
            return errors.JobNotFoundError(job_id).body
        case WrongState():
            return refused(job_id, outcome.current).body
        case Cancelled():
            return schemas.cancelled_json(outcome)
    return schemas.restarted_json(job_id)

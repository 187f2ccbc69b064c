"""Submit many jobs in one request, each answered by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from aiohttp import web

from jobqueue.errors import DependencyNotFound, DuplicateJob, QueueFull, QueueUnavailable
from jobqueue.producer import Answer
from server import errors, references, schemas
from server.answers import submitted_json
from server.app_keys import MUTATIONS, QUEUE, SETTINGS
from server.bodies import read_object
from server.bulk_dependencies import refuse_cycles
from server.errors import ApiError
from server.handlers.arguments import refuse_idempotency_key
from server.json_text import MOST_DEPTH
from server.responses import json_response
from server.submission import Checked, Draft, check_all

MOST_BYTES: Final = 16 * 1024 * 1024
# A job lies two levels down, and may be as deep as one that is submitted alone.
DEPTH: Final = MOST_DEPTH + 2

SUBMITTED_IN_PART: Final = (
    "The queue went away meanwhile: some of the jobs may have been accepted. "
    "Send them again with the same job_ids, which is safe: what was accepted is not repeated"
)


async def submit_bulk(request: web.Request) -> web.Response:
    refuse_idempotency_key(request)
    value = await read_object(request, most_bytes=MOST_BYTES, most_depth=DEPTH)
    wanted = schemas.parse(schemas.BulkSubmitBody, value).jobs
    checked = refuse_cycles(await references.settle(request.app, await check_all(request.app[SETTINGS], wanted)))
    answers = iter(await _enqueue(request.app, checked))
    results = [
        {"index": index, **(entry.body if isinstance(entry, ApiError) else _submitted_entry(entry, next(answers)))}
        for index, entry in enumerate(checked)
    ]
    body = _submitted_json(results)
    if not body["accepted"]:
        problem = (("jobs",), f"none of the {len(wanted)} jobs was accepted; results has the reasons")
        raise errors.InvalidParameterError([problem], context=body)
    return json_response(body, status=202)


async def _enqueue(app: web.Application, checked: Sequence[Checked]) -> list[Answer]:
    jobs = [entry.job for entry in checked if isinstance(entry, Draft)]
    try:
        return await app[MUTATIONS].run(app[QUEUE].producer.enqueue_many(jobs), name="submit-bulk")
    except (QueueUnavailable, QueueFull):
        # With the ids that were made here: without them nobody could send the same again.
        job_ids = [entry.job.job_id if isinstance(entry, Draft) else None for entry in checked]
        raise errors.QueueUnavailableError(SUBMITTED_IN_PART, context={"job_ids": job_ids}) from None


def _submitted_entry(draft: Draft, outcome: Answer) -> dict[str, Any]:
    match outcome:
        case DuplicateJob():
            return errors.IdempotencyConflictError(outcome.job_id).body
        case DependencyNotFound():
            return references.dependency_not_found(draft, outcome.job_id).body
    return submitted_json(outcome, draft.job)


def _submitted_json(results: list[dict[str, Any]]) -> dict[str, Any]:
    rejected = sum("error" in entry for entry in results)
    return {"results": results, "accepted": len(results) - rejected, "rejected": rejected}

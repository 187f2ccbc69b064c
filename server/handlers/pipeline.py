"""Submit a whole pipeline: all of its jobs, or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from jobqueue import Enqueued, JobQueue
from jobqueue.errors import DependencyNotFound, DuplicateJob, OnceConflict, QueueFull, QueueUnavailable
from jobqueue.producer import Answer
from server import references, schemas
from server.app_keys import MUTATIONS, QUEUE, SETTINGS
from server.bodies import read_object
from server.errors import ApiError, IdempotencyConflictError, QueueUnavailableError
from server.handlers.arguments import idempotency_key_of
from server.pipeline import plan, relocated
from server.responses import json_response
from server.submission import Draft

IN_PART = (
    "The queue went away meanwhile: some of the jobs may have been accepted. "
    "Send the same again with the same Idempotency-Key, which is safe"
)


async def submit_pipeline(request: web.Request) -> web.Response:
    app, once = request.app, idempotency_key_of(request)
    body = schemas.parse(schemas.PipelineBody, await read_object(request))
    drafts = await plan(app[SETTINGS], body, once)
    await _settle(app, drafts)
    try:
        answers = await app[MUTATIONS].run(_enqueue(app[QUEUE], list(drafts.values()), once), name="submit-pipeline")
    except (QueueUnavailable, QueueFull):
        jobs = {stage: draft.job.job_id for stage, draft in drafts.items()}
        raise QueueUnavailableError(IN_PART, context={"jobs": jobs}) from None
    accepted = [answer for answer in answers if isinstance(answer, Enqueued)]
    if len(accepted) < len(drafts):
        raise _refusal(drafts, answers)
    location = {"Location": f"/api/v1/jobs/status/{accepted[-1].job_id}"}
    return json_response(_answer_json(drafts, accepted), status=202, headers=location)


async def _settle(app: web.Application, drafts: Mapping[str, Draft]) -> None:
    """Raises the first refusal, in terms of the body."""
    settled = await references.settle(app, list(drafts.values()))
    for stage, entry in zip(drafts, settled, strict=True):
        if isinstance(entry, ApiError):
            raise relocated(stage, entry)


async def _enqueue(queue: JobQueue, drafts: Sequence[Draft], once: str | None) -> list[Answer]:
    """One answer a job; when one is refused, those that were made before it are cancelled."""
    if once is None:
        answers = await queue.producer.enqueue_many([draft.job for draft in drafts])
    else:
        answers = await _enqueue_once(queue, drafts, once)
    if not all(isinstance(answer, Enqueued) for answer in answers):
        made = [answer.job_id for answer in answers if isinstance(answer, Enqueued) and answer.created]
        await queue.producer.cancel_many(made)
    return answers


async def _enqueue_once(queue: JobQueue, drafts: Sequence[Draft], once: str) -> list[Answer]:
    """Each under a key of its own, remembered for a day. Up to the first refusal."""
    answers: list[Answer] = []
    for draft in drafts:
        try:
            answers.append(await queue.producer.enqueue(draft.job, once=f"pipeline {draft.job.job_type} {once}"))
        except DependencyNotFound as refusal:
            return [*answers, refusal]
        except (DuplicateJob, OnceConflict):
            return [*answers, DuplicateJob(draft.job.job_id)]
    return answers


def _refusal(drafts: Mapping[str, Draft], answers: Sequence[Answer]) -> ApiError:
    for (stage, draft), answer in zip(drafts.items(), answers, strict=False):
        if isinstance(answer, DependencyNotFound):
            return relocated(stage, references.dependency_not_found(draft, answer.job_id))
    # The ids are random, or made of the key.
    return IdempotencyConflictError()


def _answer_json(drafts: Mapping[str, Draft], accepted: Sequence[Enqueued]) -> dict[str, Any]:
    message = "Pipeline scheduled" if accepted[0].state == "scheduled" else "Pipeline submitted"
    return {
        "jobs": {stage: answer.job_id for stage, answer in zip(drafts, accepted, strict=True)},
        "job_id": accepted[-1].job_id,
        "status": accepted[-1].state,
        "message": message,
    }

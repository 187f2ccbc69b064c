"""Submit, look at, cancel, restart and delete one job."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web

from jobqueue import NewJob
from jobqueue.errors import DependencyEnded, DependencyNotFound, StillStopping, UniqueKeyTaken, WrongState
from jobqueue.job import JOB_TYPE_FUNCTION
from jobqueue.states import TERMINAL
from server import answers, errors, references, schemas
from server.app_keys import MUTATIONS, QUEUE, READER, SETTINGS
from server.bodies import read_object, read_optional_object
from server.chain import full_json
from server.handlers.arguments import idempotency_key_of, job_id_of
from server.parameters import check_parameters
from server.responses import json_response
from server.submission import Draft, check

DELETE_ADVICE: Final = "Cannot delete job that has not ended: cancel it first"
STOPPING_ADVICE: Final = "Cannot delete job whose execution still stops: try again in a moment"


async def submit(request: web.Request) -> web.Response:
    app, once = request.app, idempotency_key_of(request)
    draft = await check(app[SETTINGS], await read_object(request))
    await references.settle_one(app, draft, once=once)
    job = draft.job
    try:
        enqueued = await app[MUTATIONS].run(app[QUEUE].producer.enqueue(job, once=once), name=f"submit-{job.job_id}")
    except DependencyNotFound as error:
        raise references.dependency_not_found(draft, error.job_id) from None
    location = {"Location": f"/api/v1/jobs/status/{enqueued.job_id}"}
    return json_response(answers.submitted_json(enqueued, job), status=202, headers=location)


async def status(request: web.Request) -> web.Response:
    reader = request.app[READER]
    return json_response(await full_json(request.app, await reader.get_explained(job_id_of(request))))


async def result(request: web.Request) -> web.Response:
    job = await request.app[READER].get(job_id_of(request), result=True)
    if job.state not in TERMINAL:
        raise errors.JobNotFinishedError(job.job_id, job.state)
    return json_response(answers.result_json(job))


async def cancel(request: web.Request) -> web.Response:
    app, job_id = request.app, job_id_of(request)
    schemas.parse(schemas.CancelBody, await read_optional_object(request) or {})
    try:
        cancelled = await app[MUTATIONS].run(app[QUEUE].producer.cancel(job_id), name=f"cancel-{job_id}")
    except WrongState as refusal:
        raise errors.cancel_refused(job_id, refusal) from None
    return json_response(answers.cancelled_json(cancelled))


async def delete(request: web.Request) -> web.Response:
    """At once for everybody; the folder with its files goes with the next cleanup."""
    app, job_id = request.app, job_id_of(request)
    try:
        await app[MUTATIONS].run(app[QUEUE].producer.remove(job_id), name=f"delete-{job_id}")
    except WrongState as refusal:
        raise errors.JobNotFinishedError(job_id, refusal.current, DELETE_ADVICE) from None
    except StillStopping:
        raise errors.JobNotFinishedError(job_id, "cancelled", STOPPING_ADVICE) from None
    return json_response({"job_id": job_id, "message": "Job deleted"})


async def restart(request: web.Request) -> web.Response:
    app, job_id = request.app, job_id_of(request)
    arguments = await _fresh_arguments(request, job_id)
    try:
        await app[MUTATIONS].run(app[QUEUE].producer.restart(job_id, args=arguments), name=f"restart-{job_id}")
    except (WrongState, UniqueKeyTaken, DependencyEnded) as refusal:
        raise errors.restart_refused(job_id, refusal) from None
    return json_response(answers.restarted_json(job_id))


async def _fresh_arguments(request: web.Request, job_id: str) -> list[Any] | None:
    """None without a body: the job keeps its parameters."""
    value = await read_optional_object(request)
    if not value:
        return None
    body = schemas.parse(schemas.RestartBody, value)
    job = await request.app[READER].get(job_id)
    checked = await check_parameters(request.app[SETTINGS], job.job_type, body.parameters)
    asked = NewJob(job_id=job_id, function=JOB_TYPE_FUNCTION, user_id=job.user_id, depends_on=job.depends_on)
    await references.settle_one(request.app, Draft(asked, checked.source_jobs, checked.files), occasion="restart")
    return schemas.call_arguments(job.job_type, checked.values)

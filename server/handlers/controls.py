"""What an operator changes while everything runs: limits, pauses, workers that shall end."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from aiohttp import web

from jobqueue.control import KEEP, Controls, PauseKind
from jobqueue.errors import UnknownWorker
from server import schemas
from server.app_keys import MUTATIONS, QUEUE, SETTINGS
from server.bodies import read_object, read_optional_object
from server.errors import InvalidParameterError, Problem, UnknownJobTypeError, WorkerNotFoundError
from server.responses import json_response

MOST_NAME: Final = 255


async def get_limits(request: web.Request) -> web.Response:
    return json_response(controls_json(await request.app[QUEUE].control.read()))


async def change_limits(request: web.Request) -> web.Response:
    app = request.app
    body = schemas.parse(schemas.LimitsBody, await read_object(request))
    if problems := await _unknown_types(app, body.types):
        raise InvalidParameterError(problems)
    change = app[QUEUE].control.set_limits(
        total=body.global_ if "global_" in body.model_fields_set else KEEP,
        per_user=body.per_user if "per_user" in body.model_fields_set else KEEP,
        users=body.users,
        types=body.types,
    )
    await app[MUTATIONS].run(change, name="change-limits")
    return await get_limits(request)


async def _unknown_types(app: web.Application, limits: Mapping[str, int | None]) -> list[Problem]:
    """What is in force can be taken back, also when its type is not configured any more."""
    known = app[SETTINGS].job_types
    unknown = [name for name in limits if name not in known]
    in_force = (await app[QUEUE].control.read()).types if unknown else {}
    text = f"unknown job type; known types: {', '.join(sorted(known))}"
    return [(("types", name), text) for name in unknown if limits[name] is not None or name not in in_force]


async def pause(request: web.Request) -> web.Response:
    kind, name = await _target(request)
    changed = await request.app[MUTATIONS].run(request.app[QUEUE].control.pause(kind, name), name="pause")
    return await _paused(request, changed)


async def resume(request: web.Request) -> web.Response:
    kind, name = await _target(request, also=(await request.app[QUEUE].control.read()).paused_types)
    changed = await request.app[MUTATIONS].run(request.app[QUEUE].control.resume(kind, name), name="resume")
    return await _paused(request, changed)


async def _target(request: web.Request, *, also: Collection[str] = ()) -> tuple[PauseKind, str]:
    """`also`: types that may be named besides those configured."""
    body = schemas.parse(schemas.PauseBody, await read_optional_object(request) or {})
    if body.user_id is not None and body.job_type is not None:
        raise InvalidParameterError([(("job_type",), "give user_id or job_type, not both")])
    if body.user_id is not None:
        return "user", body.user_id
    if body.job_type is None:
        return "queue", ""
    if body.job_type not in request.app[SETTINGS].job_types and body.job_type not in also:
        raise UnknownJobTypeError(body.job_type, sorted(request.app[SETTINGS].job_types))
    return "type", body.job_type


async def _paused(request: web.Request, changed: bool) -> web.Response:
    seen = await request.app[QUEUE].control.read()
    return json_response({"paused": paused_json(seen), "changed": changed})


async def drain(request: web.Request) -> web.Response:
    app, worker = request.app, request.match_info["worker"]
    schemas.parse(schemas.CancelBody, await read_optional_object(request) or {})
    if len(worker) > MOST_NAME or not worker.isprintable():
        raise WorkerNotFoundError(worker)
    try:
        await app[MUTATIONS].run(app[QUEUE].control.drain(worker), name="drain-worker")
    except UnknownWorker:
        raise WorkerNotFoundError(worker) from None
    message = "The worker takes no new jobs, and ends when its own have ended"
    return json_response({"worker": worker, "message": message}, status=202)


def controls_json(controls: Controls) -> dict[str, Any]:
    return {
        "global": controls.total,
        "per_user": controls.per_user,
        "global_is_set": controls.total_is_set,
        "per_user_is_set": controls.per_user_is_set,
        "users": controls.users,
        "types": controls.types,
        "paused": paused_json(controls),
    }


def paused_json(controls: Controls) -> dict[str, Any]:
    return {"queue": controls.queue_paused, "users": controls.paused_users, "types": controls.paused_types}

"""Recurring jobs: create, look at, pause, run and remove schedules."""

from __future__ import annotations

import contextlib
import uuid

from aiohttp import web

from jobqueue import Schedule
from jobqueue.errors import ScheduleNotFound
from jobqueue.schedule_record import is_schedule_id
from server import errors, references, schemas
from server.answers import submitted_json
from server.app_keys import MUTATIONS, QUEUE, SETTINGS
from server.bodies import read_object, read_optional_object
from server.handlers.arguments import idempotency_key_of, refuse_idempotency_key
from server.handlers.listing import parse_selection
from server.parameters import check_parameters
from server.responses import json_response
from server.schedule_schemas import ScheduleBody, new_schedule, schedule_json
from server.submission import Draft

PATH = "/api/v1/jobs/schedules"


async def create_schedule(request: web.Request) -> web.Response:
    refuse_idempotency_key(request, advice="give the schedule a schedule_id")
    app = request.app
    body = schemas.parse(ScheduleBody, await read_object(request))
    if problems := list(schemas.backoff_problems(body)):
        raise errors.InvalidParameterError(problems)
    checked = await check_parameters(app[SETTINGS], body.job_type, body.parameters or {})
    wanted = new_schedule(app[SETTINGS], body, checked.values, str(uuid.uuid4()))
    if not (body.schedule_id is not None and await _exists(app, body.schedule_id)):
        draft = Draft(wanted.job, checked.source_jobs, checked.files)
        await references.settle_one(app, draft, occasion="schedule")
    name = f"create-schedule-{wanted.schedule_id}"
    schedule = await app[MUTATIONS].run(app[QUEUE].schedules.create(wanted), name=name)
    location = {"Location": f"{PATH}/{schedule.schedule_id}"}
    return json_response(schedule_json(schedule), status=201, headers=location)


async def list_schedules(request: web.Request) -> web.Response:
    wish = parse_selection(request.query)
    page = await request.app[QUEUE].schedules.page(user_id=wish.user_id, limit=wish.limit, cursor=wish.cursor)
    following = None if page.next_cursor is None else f"{page.next_cursor:x}"
    return json_response({"schedules": [schedule_json(each) for each in page.schedules], "next_cursor": following})


async def get_schedule(request: web.Request) -> web.Response:
    return json_response(schedule_json(await request.app[QUEUE].schedules.get(_schedule_id_of(request))))


async def remove_schedule(request: web.Request) -> web.Response:
    app, schedule_id = request.app, _schedule_id_of(request)
    await app[MUTATIONS].run(app[QUEUE].schedules.remove(schedule_id), name=f"remove-schedule-{schedule_id}")
    return json_response({"schedule_id": schedule_id, "message": "Schedule removed"})


async def pause_schedule(request: web.Request) -> web.Response:
    app, schedule_id = request.app, await _schedule_to_change(request)
    change = app[QUEUE].schedules.pause(schedule_id)
    return json_response(schedule_json(await app[MUTATIONS].run(change, name=f"pause-schedule-{schedule_id}")))


async def resume_schedule(request: web.Request) -> web.Response:
    app, schedule_id = request.app, await _schedule_to_change(request)
    change = app[QUEUE].schedules.resume(schedule_id)
    return json_response(schedule_json(await app[MUTATIONS].run(change, name=f"resume-schedule-{schedule_id}")))


async def run_schedule(request: web.Request) -> web.Response:
    app, schedule_id = request.app, await _schedule_to_change(request)
    once = idempotency_key_of(request)
    _refuse_unknown_type(request, await app[QUEUE].schedules.get(schedule_id))
    change = app[QUEUE].schedules.run_now(schedule_id, once=once)
    enqueued = await app[MUTATIONS].run(change, name=f"run-schedule-{schedule_id}")
    location = {"Location": f"/api/v1/jobs/status/{enqueued.job_id}"}
    return json_response(submitted_json(enqueued), status=202, headers=location)


async def _exists(app: web.Application, schedule_id: str) -> bool:
    """Asked for again, it is answered as at first, whatever has become of what its jobs read."""
    with contextlib.suppress(ScheduleNotFound):
        await app[QUEUE].schedules.get(schedule_id)
        return True
    return False


def _schedule_id_of(request: web.Request) -> str:
    """UUIDs are equal whatever the case of their letters."""
    schedule_id = request.match_info["schedule_id"]
    if not is_schedule_id(schedule_id.lower()):
        raise errors.ScheduleNotFoundError(schedule_id)
    return schedule_id.lower()


async def _schedule_to_change(request: web.Request) -> str:
    """Its id, after a look at the body, which has no fields."""
    schedule_id = _schedule_id_of(request)
    schemas.parse(schemas.CancelBody, await read_optional_object(request) or {})
    return schedule_id


def _refuse_unknown_type(request: web.Request, schedule: Schedule) -> None:
    known = request.app[SETTINGS].job_types
    if schedule.job.job_type and schedule.job.job_type not in known:
        raise errors.UnknownJobTypeError(schedule.job.job_type, sorted(known))

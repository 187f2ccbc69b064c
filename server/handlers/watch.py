"""Wait for one job: long-poll and event stream."""

from __future__ import annotations

import contextlib

from aiohttp import web

from server import polling, sse
from server.app_keys import HUB, READER, SETTINGS
from server.chain import full_json
from server.handlers.arguments import job_id_of
from server.responses import json_response
from server.stream import JobStream, is_seen


async def poll(request: web.Request) -> web.Response:
    job_id = job_id_of(request)
    wish = polling.parse_wish(request.query)
    job = await polling.poll(request.app[HUB], request.app[READER], job_id, wish)
    return json_response(await full_json(request.app, job))


async def stream(request: web.Request) -> web.StreamResponse:
    app, job_id, last_id = request.app, job_id_of(request), sse.last_event_id(request)
    with app[HUB].watch(job_id) as watcher:
        job = await app[READER].get_explained(job_id)
        if is_seen(job, last_id):
            return web.Response(status=204)
        app[HUB].begin(watcher, job)
        writer = await sse.EventWriter.open(request)
        keep_alive = app[SETTINGS].server.keep_alive_seconds
        stream = JobStream(job_id, writer, watcher=watcher, reader=app[READER], keep_alive_seconds=keep_alive)
        with contextlib.suppress(ConnectionError):
            await stream.run(job, last_id)
    return writer.response

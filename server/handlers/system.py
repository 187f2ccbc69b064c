"""The system as a whole: statistics and health."""

from __future__ import annotations

from aiohttp import web

from jobqueue.errors import QueueStarting, QueueUnavailable
from server.app_keys import GAUGES, HUB, QUEUE
from server.errors import RETRY_AFTER
from server.responses import json_response
from server.stats import stats_json


async def queue_stats(request: web.Request) -> web.Response:
    app = request.app
    return json_response(stats_json(await app[QUEUE].inspector.stats(), app[GAUGES], app[HUB]))


async def live(_request: web.Request) -> web.Response:
    return json_response({"status": "ok"})


async def ready(request: web.Request) -> web.Response:
    try:
        await request.app[QUEUE].ready()
    except QueueStarting:
        return json_response({"status": "starting"}, status=503, headers=RETRY_AFTER)
    except QueueUnavailable:
        return json_response({"status": "unavailable"}, status=503, headers=RETRY_AFTER)
    return json_response({"status": "ok"})

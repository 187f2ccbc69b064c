"""Everything that the application holds, by type; apart from `app.py` so that handlers need not import it."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from jobqueue import JobQueue, Settings
from server.gauges import Gauges
from server.hub import Hub
from server.job_reader import JobReader
from server.mutations import Mutations
from server.uploads import Uploads

SETTINGS: Final = web.AppKey("settings", Settings)
QUEUE: Final = web.AppKey("queue", JobQueue)
READER: Final = web.AppKey("reader", JobReader)
HUB: Final = web.AppKey("hub", Hub)
MUTATIONS: Final = web.AppKey("mutations", Mutations)
GAUGES: Final = web.AppKey("gauges", Gauges)
UPLOADS: Final = web.AppKey("uploads", Uploads)

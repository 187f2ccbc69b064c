"""Puts the application together: what it holds, in which order it starts and stops."""

from __future__ import annotations

import resource
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from aiohttp import web

from jobqueue import JobQueue, Settings
from server.app_keys import GAUGES, HUB, MUTATIONS, QUEUE, READER, SETTINGS, UPLOADS
from server.background import background
from server.gauges import Gauges
from server.hub import Hub
from server.job_reader import JobReader
from server.middlewares import error_middleware
from server.mutations import Mutations
from server.routes import ROUTES
from server.security import add_headers, guard, host_names
from server.uploads import Uploads

MOST_WATCHERS: Final = 20_000

OpenQueue = Callable[[], Awaitable[JobQueue]]


def create_app(settings: Settings, open_queue: OpenQueue, *, address: str = "127.0.0.1") -> web.Application:
    """`address`: the one that the server listens on. `open_queue` is called when the application starts."""
    middlewares = [error_middleware, guard(host_names(settings.server, address))]
    app = web.Application(middlewares=middlewares, client_max_size=settings.server.max_body_bytes)
    app[SETTINGS] = settings
    app[GAUGES] = Gauges()
    app[UPLOADS] = Uploads(settings.storage)
    app.add_routes(ROUTES)
    app.on_response_prepare.append(add_headers)
    app.cleanup_ctx.extend([_queue(open_queue), _pushing, background])
    app.on_shutdown.append(_end_watches)
    return app


def _queue(open_queue: OpenQueue) -> Callable[[web.Application], AsyncIterator[None]]:
    async def context(app: web.Application) -> AsyncIterator[None]:
        queue = app[QUEUE] = await open_queue()
        mutations = app[MUTATIONS] = Mutations()
        yield
        await mutations.close()
        await queue.close()

    return context


async def _pushing(app: web.Application) -> AsyncIterator[None]:
    inspector = app[QUEUE].inspector
    reader = app[READER] = JobReader(inspector)
    hub = app[HUB] = Hub(app[QUEUE].events, inspector, most_watchers=_most_watchers())
    await hub.start()
    yield
    await hub.stop()
    await reader.close()


def _most_watchers() -> int:
    """A quarter of the file descriptors stays for requests that end soon."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(MOST_WATCHERS, descriptors * 3 // 4)


async def _end_watches(app: web.Application) -> None:
    # Before the server waits for its handlers: these would not end by themselves.
    app[HUB].end_watches()

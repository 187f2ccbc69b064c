"""One server on a socket that listens already, from start to clean end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
from collections.abc import Callable
from typing import Final

from aiohttp import web

from jobqueue import JobQueue, Settings
from server.app import create_app
from server.runner import Runner

BACKLOG: Final = 1024


def run_server(
    settings: Settings, listener: socket.socket, name: str, announce: Callable[[], None], parent: int | None = None
) -> None:
    """Until SIGINT or SIGTERM, or the end of what can be read from the descriptor `parent`. `announce`: it serves."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(settings, listener, name, announce, parent))


def raise_descriptor_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


async def _serve(
    settings: Settings, listener: socket.socket, name: str, announce: Callable[[], None], parent: int | None
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if parent is not None:
        _watch(parent, stop)

    async def open_queue() -> JobQueue:
        return await JobQueue.open(settings, name=name)

    runner = Runner(create_app(settings, open_queue, address=listener.getsockname()[0]), settings)
    try:
        await runner.setup()
        await web.SockSite(runner, listener, backlog=BACKLOG).start()
        announce()
        await stop.wait()
    finally:
        await runner.cleanup()


def _watch(parent: int, stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()

    def read() -> None:
        if not os.read(parent, 4096):
            loop.remove_reader(parent)
            stop.set()

    loop.add_reader(parent, read)

"""`python -m server [--config FILE] [--host H] [--port P]`: the HTTP server until SIGINT or SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import resource
import signal
import socket
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from pydantic import ValidationError

from jobqueue import JobQueue, Settings, load_settings
from jobqueue.config import ServerSettings
from jobqueue.errors import ConfigurationError
from server.app import create_app
from server.runner import Runner
from server.security import is_loopback

log = logging.getLogger("server")

BAD_CONFIGURATION: Final = 78
BACKLOG: Final = 1024


def main() -> int:
    arguments = _parse()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    try:
        settings = _settings(arguments)
        with _listener(settings.server, insecure=arguments.insecure) as listener:
            _raise_descriptor_limit()
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                runner.run(serve(settings, listener))
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return BAD_CONFIGURATION
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m server", description=__doc__)
    parser.add_argument("--config", type=Path, help="default: config.toml in the working directory, if there is one")
    parser.add_argument("--host", help="default: server.host of the configuration")
    parser.add_argument("--port", help="default: server.port of the configuration; 0 = any free one")
    parser.add_argument("--insecure", action="store_true", help="listen on other addresses than loopback without a key")
    return parser.parse_args()


def _settings(arguments: argparse.Namespace) -> Settings:
    settings = load_settings(arguments.config)
    given = {"host": arguments.host, "port": arguments.port}
    changes = {name: value for name, value in given.items() if value is not None}
    try:
        server = ServerSettings.model_validate(settings.server.model_dump() | changes)
    except ValidationError as error:
        mistake = error.errors()[0]
        raise ConfigurationError(f"--{mistake['loc'][0]}: {mistake['msg']}") from None
    return settings.model_copy(update={"server": server})


def _listener(server: ServerSettings, *, insecure: bool) -> socket.socket:
    """Bound before anything else starts: a busy port must not leave traces."""
    where = f"{server.host}:{server.port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigurationError(f"cannot listen on {where}: {error.strerror}") from None
    if not (insecure or is_loopback(str(address[0]))):
        listener.close()
        raise ConfigurationError(f"refusing to listen on {where} without a key: use a loopback address or --insecure")
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigurationError(f"cannot listen on {where}: {error.strerror}") from None
    return listener


def _raise_descriptor_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop


async def serve(settings: Settings, listener: socket.socket) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    address: tuple[Any, ...] = listener.getsockname()

    async def open_queue() -> JobQueue:
        return await JobQueue.open(settings, name=_unique_name())

    runner = Runner(create_app(settings, open_queue, address=address[0]), settings)
    try:
        await runner.setup()
        await web.SockSite(runner, listener, backlog=BACKLOG).start()
        _announce(settings.server.host, address)
        await stop.wait()
    finally:
        await runner.cleanup()


def _unique_name() -> str:
    return f"server-{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


def _announce(host: str, address: tuple[Any, ...]) -> None:
    sys.stdout.write(f"Listening on http://{f'[{host}]' if ':' in host else host}:{address[1]}\n")
    sys.stdout.flush()
    if is_loopback(str(address[0])):
        log.warning("no key is configured: any user of this machine may act as any user")
    else:
        log.warning("no key is configured: everybody who can reach this address may act as any user")


if __name__ == "__main__":
    sys.exit(main())

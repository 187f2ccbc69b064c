"""`python -m server [--config FILE] [--host H] [--port P] [--processes N]`: the HTTP server until SIGINT or SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import logging
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from aiohttp import http_parser
from pydantic import ValidationError

from jobqueue import Settings, load_settings
from jobqueue.config import ServerSettings
from jobqueue.errors import ConfigurationError
from jobqueue.logs import configure
from jobqueue.presence import unique_name
from server.processes import Processes
from server.security import is_loopback
from server.serving import BACKLOG, raise_descriptor_limit, run_server

log = logging.getLogger("server")

BAD_CONFIGURATION: Final = 78
LONGEST_STANDSTILL_MS: Final = 30_000


def main() -> int:
    arguments = _parse()
    name = unique_name("server-")
    try:
        settings = _settings(arguments)
        configure(settings.log.format, settings.log.level, {"server": name})
        with _listener(settings.server, insecure=arguments.insecure) as listener:
            _check_parser(settings.server, listener)
            raise_descriptor_limit()
            announce = _announcer(settings.server.host, listener.getsockname())
            if settings.server.processes > 1:
                return asyncio.run(Processes(settings, listener).run(announce))
            run_server(settings, listener, name, announce)
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return BAD_CONFIGURATION
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m server", description=__doc__)
    parser.add_argument("--config", type=Path, help="default: config.toml in the working directory, if there is one")
    parser.add_argument("--host", help="default: server.host of the configuration")
    parser.add_argument("--port", help="default: server.port of the configuration; 0 = any free one")
    parser.add_argument("--processes", help="default: server.processes of the configuration; all share the port")
    parser.add_argument("--insecure", action="store_true", help="listen on other addresses than loopback without a key")
    return parser.parse_args()


def _settings(arguments: argparse.Namespace) -> Settings:
    settings = load_settings(arguments.config)
    given = {"host": arguments.host, "port": arguments.port, "processes": arguments.processes}
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
        # The kernel drops who takes nothing of an answer for so long; accepted connections inherit it.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, LONGEST_STANDSTILL_MS)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigurationError(f"cannot listen on {where}: {error.strerror}") from None
    return listener


def _check_parser(server: ServerSettings, listener: socket.socket) -> None:
    """Without its C parser aiohttp reads requests in another way than the one that was proven against smuggling."""
    if hasattr(http_parser, "HttpRequestParserC"):
        return
    if not is_loopback(str(listener.getsockname()[0])):
        raise ConfigurationError(f"refusing to listen on {server.host}: aiohttp is installed without its C parser")
    log.warning("aiohttp is installed without its C parser; only loopback addresses are served like that")


def _announcer(host: str, address: tuple[Any, ...]) -> Callable[[], None]:
    def announce() -> None:
        sys.stdout.write(f"Listening on http://{f'[{host}]' if ':' in host else host}:{address[1]}\n")
        sys.stdout.flush()
        if is_loopback(str(address[0])):
            log.warning("no key is configured: any user of this machine may act as any user")
        else:
            log.warning("no key is configured: everybody who can reach this address may act as any user")

    return announce


if __name__ == "__main__":
    sys.exit(main())

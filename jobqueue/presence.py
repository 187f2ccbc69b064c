"""Who is alive: registration and heartbeat of servers, registration of workers, limits as configured."""

from __future__ import annotations

import os
import platform
import secrets
import socket
from importlib.metadata import version
from typing import Final

from jobqueue.age import Age
from jobqueue.namespace import Namespace
from jobqueue.wire import Argument

VERSION: Final = version("jobqueue")


def unique_name(kind: str = "") -> str:
    """For a process, unique per start: a container's pid and host name come back, this name does not.

    Only what Redis takes for the name of a connection, whatever the host is called.
    """
    host = "".join(c if c.isascii() and (c.isalnum() or c in "-.") else "-" for c in socket.gethostname())
    return f"{kind}{host}-{os.getpid()}-{secrets.token_hex(4)}"


class Presence:
    def __init__(self, namespace: Namespace, name: str) -> None:
        self._namespace = namespace
        self._name = name
        self._age = Age()

    async def beat_server(self, *, host: str, pid: int, rss_mb: int) -> None:
        """`rss_mb`: resident memory of the server with its children."""
        given: dict[str, Argument] = {
            "server": self._name,
            "host": host,
            "pid": pid,
            "rss_mb": rss_mb,
            "age": self._age.microseconds,
        }
        await self._namespace.run("beat_server", given)
        self._age.begin()

    async def remove_server(self) -> None:
        await self._namespace.run("remove_server", {"server": self._name})

    async def register_worker(
        self, *, queues: tuple[str, ...], host: str, pid: int, concurrency: int, result_ttl: int
    ) -> None:
        given: dict[str, Argument] = {
            "worker": self._name,
            "queues": ",".join(queues),
            "host": host,
            "pid": pid,
            "concurrency": concurrency,
            "version": VERSION,
            "python_version": platform.python_version(),
            "age": self._age.microseconds,
            "result_ttl": result_ttl,
        }
        await self._namespace.run("register_worker", given)
        self._age.begin()

    async def remove_worker(self) -> None:
        await self._namespace.run("remove_worker", {"worker": self._name, "silence": 0})

"""What can be learned about a Valkey from outside: does it answer, which process is it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil

from jobqueue.embedded.places import Places

PROGRAM: Final = "valkey-server"


def ping(path: Path, timeout: float = 1.0) -> str | None:
    """The first word of the reply, e.g. `PONG`, `LOADING`, `BUSY`; None if there is none within `timeout` seconds."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        try:
            connection.connect(str(path))
            connection.sendall(b"PING\r\n")
            reply = connection.recv(64)
        except OSError:
            return None
    words = reply[1:].split(maxsplit=1)
    return words[0].decode("ascii", "replace") if words else None


def find_server(places: Places) -> psutil.Process | None:
    """The living Valkey of this folder: a process of that program that has the folder's `server.lock` open."""
    for process in _candidates(places):
        with contextlib.suppress(psutil.Error, OSError):
            if _is_server(process, places.server_lock):
                return process
    return None


def _candidates(places: Places) -> Iterator[psutil.Process]:
    with contextlib.suppress(OSError, ValueError, psutil.Error):
        yield psutil.Process(int(places.pid_file.read_text("ascii")))
    # Valkey writes its pid file a moment after its start, and not at all on a full disk.
    yield from (process for process in psutil.process_iter(["name"]) if process.info["name"] == PROGRAM)


def _is_server(process: psutil.Process, lock: Path) -> bool:
    if Path(process.exe()).name != PROGRAM:
        return False
    return any(file.path == str(lock) for file in process.open_files())

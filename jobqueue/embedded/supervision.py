"""How participants start the watchdog, and the one line by which it tells them how it fares."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jobqueue.embedded.locks import FileLock
from jobqueue.embedded.places import Places
from jobqueue.embedded.server_log import tail
from jobqueue.errors import QueueUnavailable

log = logging.getLogger(__name__)

WATCHDOG_MODULE: Final = "jobqueue.embedded.watchdog"
SPAWN_SECONDS: Final = 30.0


@dataclass(frozen=True)
class Status:
    """`failed_starts`: how often Valkey, started by this watchdog, gave up before it could answer."""

    pid: int = 0
    failed_starts: int = 0

    def failed_since(self, earlier: Status) -> bool:
        return self.failed_starts > (earlier.failed_starts if earlier.pid == self.pid else 0)


def read_status(places: Places) -> Status:
    try:
        pid, failed_starts = places.watchdog_lock.read_text("ascii").split()
        return Status(int(pid), int(failed_starts))
    except (OSError, ValueError):
        return Status()


def write_status(lock: FileLock, status: Status) -> None:
    # In place and always of one length: that works on a full disk too, where it is needed most.
    with contextlib.suppress(OSError):
        os.pwrite(lock.fileno(), f"{status.pid:20d} {status.failed_starts:20d}\n".encode("ascii"), 0)


def supervise(places: Places, command: list[str]) -> bool:
    """Start a watchdog unless one lives; True if this call did. Raises QueueUnavailable if it cannot be started."""
    try:
        lock = FileLock.open(places.watchdog_lock)
        try:
            return _start_watchdog(lock, places, command)
        finally:
            lock.close()
    except OSError as error:
        raise QueueUnavailable(f"The watchdog of the embedded Valkey cannot be started: {error}") from error


def _start_watchdog(lock: FileLock, places: Places, command: list[str]) -> bool:
    if not lock.try_exclusive():
        return False
    # The new watchdog inherits the lock already taken: of many participants at one moment, one starts one.
    write_status(lock, Status())
    _spawn(lock, places, command)
    log.info("started a watchdog for the embedded Valkey in %s", places.data)
    return True


def _spawn(lock: FileLock, places: Places, command: list[str]) -> None:
    arguments = [sys.executable, "-m", WATCHDOG_MODULE, str(places.data), str(lock.fileno()), *command]
    with places.watchdog_log.open("ab") as output:
        starter = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(lock.fileno(),),
            start_new_session=True,
            # The same code as ours, wherever this process happens to stand.
            cwd=Path(__file__).parents[2],
        )
    # It forks the real watchdog and ends, so that this process has no child to reap and the tree of its children none.
    with starter:
        try:
            code = starter.wait(SPAWN_SECONDS)
        except subprocess.TimeoutExpired:
            starter.kill()
            code = starter.wait()
    if code != 0:
        end = "\n".join(tail(places.watchdog_log)[-8:])
        raise QueueUnavailable(f"The watchdog of the embedded Valkey does not start (exit {code}):\n{end}")

"""The parent of Valkey: starts it, starts it again, and stops it when the last participant has gone.

    python -m jobqueue.embedded.watchdog DATA_DIR LOCK_DESCRIPTOR COMMAND...

Started by `supervision` only.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final

from jobqueue.embedded.locks import FileLock
from jobqueue.embedded.places import Places
from jobqueue.embedded.probe import ping
from jobqueue.embedded.supervision import Status, write_status
from jobqueue.embedded.valkey_process import LOG_BYTES, ValkeyProcess
from jobqueue.errors import ConfigurationError

log = logging.getLogger("jobqueue.embedded.watchdog")

POLL_SECONDS: Final = 0.1
FIRST_DELAY_SECONDS: Final = 0.1
LONGEST_DELAY_SECONDS: Final = 2.0
# A server that ran this long was well: the next end is a new trouble, not the same one again.
WELL_SECONDS: Final = 10.0


class Watchdog:
    """`lock`: the exclusively held `watchdog.lock`."""

    def __init__(self, places: Places, lock: FileLock, valkey: ValkeyProcess) -> None:
        self._places = places
        self._lock = lock
        self._valkey = valkey
        self._participants = FileLock.open(places.participants_lock)
        self._expected = False
        self._ready_at: float | None = None
        self._quick_ends = 0
        self._failed_starts = 0
        self._next_start = 0.0
        self._publish()

    def run(self) -> None:
        """Returns when no participant is left, or the folder is gone, and Valkey is stopped."""
        while not self._participants.try_exclusive():
            if not self._places.participants_lock.exists():
                log.error("the data folder was removed")
                break
            self._look()
            time.sleep(POLL_SECONDS)
        log.info("stopping Valkey")
        stopped = self._valkey.stop()
        log.log(logging.INFO if stopped else logging.ERROR, "Valkey is stopped: %s", stopped)
        # In this order: who then gets in as a participant must find the place of the watchdog free.
        self._valkey.close()
        self._lock.close()
        self._participants.close()

    def _look(self) -> None:
        if self._valkey.lives():
            self._expected = True
            self._look_whether_ready()
            return
        if self._expected:
            self._note_end()
        if time.monotonic() >= self._next_start:
            self._start()

    def _look_whether_ready(self) -> None:
        if self._ready_at is None and ping(self._places.socket) not in (None, "LOADING"):
            self._ready_at = time.monotonic()

    def _start(self) -> None:
        try:
            self._valkey.start()
            self._expected = True
        except (OSError, ConfigurationError) as error:
            log.error("Valkey cannot be started: %s", error)
            self._note_failed_start()
            self._delay_next_start(self._quick_ends + 1)

    def _note_end(self) -> None:
        code = self._valkey.exit_status()
        log.warning("Valkey has ended, exit status %s", code)
        if self._ready_at is None and code is not None and code > 0:
            self._note_failed_start()
        well = self._ready_at is not None and time.monotonic() - self._ready_at >= WELL_SECONDS
        self._delay_next_start(0 if well else self._quick_ends + 1)
        self._expected, self._ready_at = False, None

    def _delay_next_start(self, quick_ends: int) -> None:
        # Capped because a full disk heals by itself, and then so must Valkey.
        self._quick_ends = min(quick_ends, 10)
        delay = min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2**self._quick_ends)
        self._next_start = time.monotonic() + delay

    def _note_failed_start(self) -> None:
        self._failed_starts += 1
        self._publish()

    def _publish(self) -> None:
        write_status(self._lock, Status(os.getpid(), self._failed_starts))


def _detach() -> None:
    """Belong to no terminal and no folder, and end for one reason only: no participant is left."""
    os.chdir("/")
    os.umask(0o077)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # At a shutdown of the machine everybody gets SIGTERM, and participants need Valkey for their last words.
        # A handler and not SIG_IGN, which Valkey would inherit.
        signal.signal(number, lambda received, _frame: log.info("signal %d: staying for the participants", received))


def _log_to(path: Path) -> None:
    handler = RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=1)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(process)d %(message)s", handlers=[handler])
    # A log on a full disk must not become a second trouble.
    logging.raiseExceptions = False


def main(arguments: list[str]) -> int:
    data_dir, descriptor, *command = arguments
    if os.fork():
        return 0
    places = Places.of(Path(data_dir))
    _detach()
    _log_to(places.watchdog_log)
    Watchdog(places, FileLock.inherited(int(descriptor)), ValkeyProcess(places, command)).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The Valkey process of one data folder, as its watchdog sees it: is there one, start it, stop it."""

from __future__ import annotations

import logging
import signal
import subprocess
import time
from pathlib import Path
from typing import Final

import psutil

from jobqueue.embedded.locks import FileLock
from jobqueue.embedded.places import Places
from jobqueue.embedded.probe import find_server

log = logging.getLogger("jobqueue.embedded.watchdog")

TERMINATE_SECONDS: Final = 10.0
STOP_SECONDS: Final = 30.0
POLL_SECONDS: Final = 0.05
LOG_BYTES: Final = 4 * 1024 * 1024


class ValkeyProcess:
    """Whether one lives is told by `server.lock` alone, so one that an earlier watchdog left behind is seen as well."""

    def __init__(self, places: Places, command: list[str]) -> None:
        self._places = places
        self._command = command
        self._lock = FileLock.open(places.server_lock)
        self._child: subprocess.Popen[bytes] | None = None

    def lives(self) -> bool:
        """When False, the lock is ours until `start`: nobody else can start one."""
        if self._lock.try_exclusive():
            return False
        if self._child is not None and self._child.poll() is not None:
            self._end_rewriter()
        return True

    def start(self) -> None:
        """To be called only when none lives. Raises OSError or ConfigurationError; then the lock is still ours."""
        self._places.prepare()
        _limit_size(self._places.server_log)
        with self._places.server_log.open("ab") as output:
            self._child = subprocess.Popen(
                self._command,
                cwd=self._places.data,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(self._lock.fileno(),),
                start_new_session=True,
            )
        log.info("started Valkey, process %d", self._child.pid)
        # From here on the lock is Valkey's only, and lasts exactly as long as Valkey does.
        self._lock.close()
        self._lock = FileLock.open(self._places.server_lock)

    def exit_status(self) -> int | None:
        """Of the ended server; negative for a signal, None for one that was not started by this watchdog."""
        child, self._child = self._child, None
        if child is None:
            return None
        try:
            return child.wait(1.0)
        except subprocess.TimeoutExpired:
            return None

    def stop(self) -> bool:
        """SIGTERM, then SIGKILL, which costs no acknowledged write under `appendfsync always`. False if it lives on."""
        begun = time.monotonic()
        asked: set[int] = set()
        while self.lives():
            waited = time.monotonic() - begun
            if waited > STOP_SECONDS:
                return False
            self._signal(asked, kill=waited > TERMINATE_SECONDS)
            time.sleep(POLL_SECONDS)
        self.exit_status()
        return True

    def close(self) -> None:
        self._lock.close()

    def _end_rewriter(self) -> None:
        # The fork that rewrites the file has the lock too, and may not notice for long that its parent was killed. What
        # it writes is a temporary file.
        rewriter = find_server(self._places)
        if rewriter is not None:
            log.warning("ending process %d, a fork of the dead Valkey", rewriter.pid)
            _send(rewriter, signal.SIGKILL)

    def _signal(self, asked: set[int], *, kill: bool) -> None:
        server = self._find()
        if server is None or (server.pid in asked and not kill):
            return
        asked.add(server.pid)
        _send(server, signal.SIGKILL if kill else signal.SIGTERM)

    def _find(self) -> psutil.Process | None:
        if self._child is not None and self._child.poll() is None:
            return psutil.Process(self._child.pid)
        return find_server(self._places)


def _send(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.Error as error:
        log.warning("process %d could not be signalled: %s", process.pid, error)


def _limit_size(log_file: Path) -> None:
    # Valkey opens its log for every line; and one that cannot start writes a page every two seconds.
    if log_file.exists() and log_file.stat().st_size > LOG_BYTES:
        log_file.replace(log_file.with_name(log_file.name + ".1"))

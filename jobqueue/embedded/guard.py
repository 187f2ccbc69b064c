"""What a participant does unasked: see that a watchdog lives, and pass on what Valkey complains of."""

from __future__ import annotations

import logging
import threading
import time
from typing import Final

from jobqueue.embedded.disk import shortage
from jobqueue.embedded.places import Places
from jobqueue.embedded.server_log import LogReporter, explain_failure
from jobqueue.embedded.supervision import read_status, supervise
from jobqueue.errors import QueueUnavailable

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 0.5
SILENCE_SECONDS: Final = 60.0


class Guard:
    """A thread that ends soon after `leaving` is set.

    A watchdog killed while Valkey lives breaks no connection: without a guard nobody would notice, and Valkey would
    outlive its last participant.
    """

    def __init__(self, places: Places, command: list[str], leaving: threading.Event) -> None:
        self._places = places
        self._command = command
        self._leaving = leaving
        self._reporter = LogReporter(places.server_log)
        self._seen = read_status(places)
        self._silent_until: dict[str, float] = {}
        self._thread = threading.Thread(target=self._run, name="embedded-valkey-guard", daemon=True)
        self._thread.start()

    def report(self) -> None:
        """Log what is new in Valkey's own log about its files."""
        self._reporter.report()

    def join(self) -> None:
        self._thread.join()

    def _run(self) -> None:
        while not self._leaving.wait(LOOK_SECONDS):
            try:
                supervise(self._places, self._command)
            except QueueUnavailable as error:
                self._complain("watchdog", str(error))
            self._look_for_failed_starts()
            self._look_at_the_disk()
            self.report()

    def _look_for_failed_starts(self) -> None:
        # Valkey may load for minutes before it meets the damage: then nobody waits in `ensure` any more.
        status = read_status(self._places)
        if status.failed_since(self._seen):
            self._complain("start", explain_failure(self._places, self._command[0]))
        self._seen = status

    def _look_at_the_disk(self) -> None:
        words = shortage(self._places.data)
        if words is not None:
            self._complain("disk", words)

    def _complain(self, about: str, text: str) -> None:
        if time.monotonic() >= self._silent_until.get(about, 0.0):
            self._silent_until[about] = time.monotonic() + SILENCE_SECONDS
            for line in text.splitlines():
                log.error("%s", line)

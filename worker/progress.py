"""Notes of progress on their way to the record: the newest wins, and no more than a few go a second."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Final

from jobqueue.job import Progress
from worker.note import Note

REPORT_SECONDS: Final = 0.25


class ProgressThrottle:
    """Hands over at most one note per REPORT_SECONDS, and at `close` what is left. Lives in the event loop."""

    def __init__(self, token: str, report: Callable[[Progress], None], loop: asyncio.AbstractEventLoop) -> None:
        self._token = token
        self._report = report
        self._loop = loop
        self._thread = threading.get_ident()
        self._waiting: Note | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def put_from_any_thread(self, note: Note) -> None:
        if threading.get_ident() == self._thread:
            self.put(note)
        else:
            self._loop.call_soon_threadsafe(self.put, note)

    def put(self, note: Note) -> None:
        if self._closed:
            return
        self._waiting = note
        if self._timer is None:
            self._hand_over()

    def close(self) -> None:
        """Notes that come later, from what would not stop, are dropped."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._report_waiting()

    def _hand_over(self) -> None:
        """Now, and again after the interval until nothing has come in between."""
        self._timer = None
        if self._waiting is not None:
            self._report_waiting()
            self._timer = self._loop.call_later(REPORT_SECONDS, self._hand_over)

    def _report_waiting(self) -> None:
        note, self._waiting = self._waiting, None
        if note is not None:
            self._report(Progress(self._token, *note))

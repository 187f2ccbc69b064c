"""How long a process has been known to Redis: what tells an outage of Redis from a cold start of the whole system."""

from __future__ import annotations

import time


class Age:
    """Counts from the first word that Redis has heard, on the monotonic clock."""

    def __init__(self) -> None:
        self._began: float | None = None

    def begin(self) -> None:
        """After each word that was heard; the first one counts."""
        if self._began is None:
            self._began = time.monotonic()

    @property
    def microseconds(self) -> int:
        """0 before the first word, then at least 1."""
        return 0 if self._began is None else 1 + int((time.monotonic() - self._began) * 1_000_000)

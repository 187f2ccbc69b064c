"""Time limits for what others do while this process waits."""

from __future__ import annotations

import time
from typing import Final

# A longer gap between two looks means that this process itself was stopped; those it waits for are not to blame.
_LONGEST_GAP: Final = 1.0


class Patience:
    """A time limit that only counts the time in which this process was running."""

    def __init__(self, seconds: float) -> None:
        self._left = seconds
        self._seen = time.monotonic()

    def is_over(self) -> bool:
        now = time.monotonic()
        self._left -= min(now - self._seen, _LONGEST_GAP)
        self._seen = now
        return self._left <= 0

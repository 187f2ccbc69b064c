"""Watches how much memory a child's processes hold, from a thread: reading /proc must not delay the event loop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from worker.process_tree import resident_bytes

SAMPLE_SECONDS: Final = 0.25
MEGABYTE: Final = 1024 * 1024


class MemoryWatch:
    """Calls `on_exceeded(used_mb)` once, in its own thread, when all below `root` together hold more than allowed."""

    def __init__(self, root: int, limit_mb: int, on_exceeded: Callable[[int], None]) -> None:
        self._root = root
        self._limit = limit_mb * MEGABYTE
        self._on_exceeded = on_exceeded
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"memory-of-{root}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Blocks for at most one sample (well below a millisecond)."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            used = resident_bytes(self._root)
            if used > self._limit:
                self._on_exceeded(-(-used // MEGABYTE))
                return

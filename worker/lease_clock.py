"""Until when a job may run, as its guard sees it: the guard goes by it even while the whole worker stands still.

A moment of the monotonic clock, which all processes of a machine share, in a file in memory that both have open. Its
eight bytes are written and read in one go.
"""

from __future__ import annotations

import os
import struct
import threading
import time
from typing import Final

_MOMENT: Final = struct.Struct("d")


class LeaseClock:
    """The worker's side; `descriptor` is for the guard."""

    def __init__(self, until: float) -> None:
        """Raises OSError when the machine has no room for it."""
        self.descriptor = os.memfd_create("lease")
        self._lock = threading.Lock()
        self._open = True
        self.set(until)

    def set(self, until: float) -> None:
        """From any thread; nothing happens when it is closed."""
        with self._lock:
            if self._open:
                os.pwrite(self.descriptor, _MOMENT.pack(until), 0)

    def close(self) -> None:
        with self._lock:
            self._open = False
            os.close(self.descriptor)


class LeaseReader:
    """The guard's side."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)
        self._descriptor = descriptor

    @property
    def left(self) -> float:
        """Seconds; negative when the job may not run just now."""
        (until,) = _MOMENT.unpack(os.pread(self._descriptor, _MOMENT.size, 0))
        return float(until) - time.monotonic()

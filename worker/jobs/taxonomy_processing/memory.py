"""Memory that is free again goes back to the system."""

from __future__ import annotations

import ctypes
from contextlib import suppress


def give_back() -> None:
    """After many small objects have gone: the C library keeps their room, where no large array can go.

    Does nothing where the C library has no such call.
    """
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)

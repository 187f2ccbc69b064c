"""Whether the disk below Valkey's folder has room, said in words: a full one takes not even Valkey's own log lines."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

ENOUGH_BYTES: Final = 1024 * 1024


def shortage(folder: Path) -> str | None:
    """What a person must hear; None while there is room, or when nothing can be learned."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    free = found.f_bavail * found.f_frsize
    if free >= ENOUGH_BYTES:
        return None
    return (
        f"The disk of {folder} is full ({free} bytes are free): the embedded Valkey stops at each write and is started "
        "again. Nothing that was accepted is lost; all goes on by itself when there is room."
    )

"""What processes that a job starts for its work have in common, on their side: they read JSON lines from stdin, answer
with JSON lines, and end with the job."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

_PR_SET_PDEATHSIG: Final = 1


def begin(parent: int) -> int:
    """The descriptor for answers. `parent`: the process with which this one is to end."""
    # Ctrl-C reaches the whole group; what becomes of this process is for its parent to decide.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # The parent may have gone before the call above.
    if os.getppid() != parent:
        raise SystemExit(1)
    _limit(resource.RLIMIT_CORE, 0)
    return _take_stdout()


def limit_memory(size: int) -> None:
    """To so many bytes of addresses; may be called again with more or less."""
    _limit(resource.RLIMIT_AS, size)


def reply(replies: int, message: Mapping[str, Any]) -> None:
    data = json.dumps(message).encode() + b"\n"
    while data:
        data = data[os.write(replies, data) :]


def _limit(kind: int, soft: int) -> None:
    # Some systems refuse one of them, and a stricter limit may be set already.
    with suppress(ValueError, OSError):
        resource.setrlimit(kind, (soft, resource.getrlimit(kind)[1]))


def _take_stdout() -> int:
    """What libraries print goes to stderr from now on."""
    replies = os.dup(1)
    os.dup2(2, 1)
    return replies

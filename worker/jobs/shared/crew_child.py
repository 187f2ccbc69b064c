"""A process of a crew: reads orders from stdin and answers on stdout, each one JSON object a line.

It is started by `crew`. Its arguments are the parent's process id and the function that does the work.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import resource
import signal
import sys
from contextlib import suppress
from importlib import import_module
from typing import Final

from worker.jobs.shared.crew import Answer, Work
from worker.jobs.shared.errors import StorageError

MEMORY_LIMIT_BYTES: Final = 1500 * 1024 * 1024
_PR_SET_PDEATHSIG: Final = 1


def main() -> None:
    """Serve until stdin ends."""
    _die_with_parent(int(sys.argv[1]))
    _limit_resources()
    replies = _take_stdout()
    work = _function(sys.argv[2])
    # What has been imported stays, and need not be looked through again and again.
    gc.freeze()
    for line in sys.stdin.buffer:
        _reply(replies, _serve(work, json.loads(line)))


def _serve(work: Work, order: dict[str, str]) -> Answer:
    try:
        return {"done": work(order)}
    except StorageError as error:
        return {"storage": str(error)}


def _function(name: str) -> Work:
    module, _, function = name.partition(":")
    work: Work = getattr(import_module(module), function)
    return work


def _die_with_parent(parent: int) -> None:
    # Ctrl-C reaches the whole group; what becomes of this process is for its parent to decide.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # The parent may have gone before the call above.
    if os.getppid() != parent:
        raise SystemExit(1)


def _limit_resources() -> None:
    for kind, limit in ((resource.RLIMIT_AS, MEMORY_LIMIT_BYTES), (resource.RLIMIT_CORE, 0)):
        # Some systems refuse one of them, and a stricter limit may be set already.
        with suppress(ValueError, OSError):
            resource.setrlimit(kind, (limit, limit))


def _take_stdout() -> int:
    """A descriptor for answers only; what libraries print goes to stderr."""
    replies = os.dup(1)
    os.dup2(2, 1)
    return replies


def _reply(replies: int, answer: Answer) -> None:
    data = json.dumps(answer).encode() + b"\n"
    while data:
        data = data[os.write(replies, data) :]


if __name__ == "__main__":
    main()

"""The document process: reads work orders from stdin and answers on stdout, each one JSON object a line.

It is started by `document_process` and lives for one document after the other. Whatever kills it (a crash inside
PDFium, the memory limit, a timeout, a pattern that never ends) costs one document and not the job.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
from contextlib import suppress
from typing import Any

from worker.jobs.document_processing.works import Parse, Tell, do
from worker.jobs.shared.errors import StorageError
from worker.jobs.shared.files import Record

_PR_SET_PDEATHSIG = 1


def main(parse: Parse | None = None) -> None:
    """Serve until stdin ends. The one argument is the parent's process id. `parse`: instead of the usual one."""
    _die_with_parent(int(sys.argv[1]))
    _limit(resource.RLIMIT_CORE, 0, 0)
    replies = _take_stdout()
    for line in sys.stdin.buffer:
        _reply(replies, _serve(json.loads(line), parse, lambda message: _reply(replies, message)))


def _serve(order: dict[str, Any], parse: Parse | None, tell: Tell) -> Record:
    """The last answer to the order."""
    # Before the libraries are loaded, so that they start under it.
    _limit(resource.RLIMIT_AS, order["memory_bytes"], resource.getrlimit(resource.RLIMIT_AS)[1])
    try:
        return {"record": do(order, parse, tell)}
    except StorageError as error:
        return {"storage": str(error)}


def _die_with_parent(parent: int) -> None:
    # Ctrl-C reaches the whole group; what becomes of this process is for its parent to decide.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # The parent may have gone before the call above.
    if os.getppid() != parent:
        raise SystemExit(1)


def _limit(kind: int, soft: int, hard: int) -> None:
    # Some systems refuse one of them, and a stricter limit may be set already.
    with suppress(ValueError, OSError):
        resource.setrlimit(kind, (soft, hard))


def _take_stdout() -> int:
    """A descriptor for answers only; what libraries print goes to stderr."""
    replies = os.dup(1)
    os.dup2(2, 1)
    return replies


def _reply(replies: int, message: Record) -> None:
    data = json.dumps(message).encode() + b"\n"
    while data:
        data = data[os.write(replies, data) :]


if __name__ == "__main__":
    main()

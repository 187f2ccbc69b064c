"""The document process: reads work orders from stdin and answers on stdout, each one JSON object a line.

It is started by `document_process` and lives for one document after the other. Whatever kills it (a crash inside
PDFium, the memory limit, a timeout) costs one document and not the job.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from worker.jobs.document_processing.record import new_record
from worker.jobs.document_processing.task import Task
from worker.jobs.shared.errors import StorageError
from worker.jobs.shared.files import Record
from worker.jobs.shared.workspace import storing

MEMORY_LIMIT_BYTES = 1500 * 1024 * 1024
_PR_SET_PDEATHSIG = 1

Process = Callable[[Task, Record, Callable[[Record], None]], None]


def main(process: Process | None = None) -> None:
    """Serve until stdin ends. The one argument is the parent's process id."""
    _die_with_parent(int(sys.argv[1]))
    _limit_resources()
    replies = _take_stdout()
    process = process or _load()
    for line in sys.stdin.buffer:
        _reply(replies, _serve(json.loads(line), process, lambda message: _reply(replies, message)))


def _serve(order: dict[str, Any], process: Process, tell: Callable[[Record], None]) -> Record:
    """The last answer to the order."""
    try:
        with storing():
            task = Task.load(Path(order["task"]), order["password"])
        record = new_record(task)
        process(task, record, tell)
    except StorageError as error:
        return {"storage": str(error)}
    return {"record": record}


def _load() -> Process:
    # After the limits are set, so that the libraries start under them.
    from worker.jobs.document_processing.document import process

    return process


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


def _reply(replies: int, message: Record) -> None:
    data = json.dumps(message).encode() + b"\n"
    while data:
        data = data[os.write(replies, data) :]


if __name__ == "__main__":
    main()

"""A document process with accidents: what a document's text says happens to it."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from worker.jobs.document_processing import child, chunk_document, document
from worker.jobs.document_processing.crew import Crew
from worker.jobs.document_processing.parsed import Parsed
from worker.jobs.document_processing.task import Task
from worker.jobs.shared.files import Record

# As in a job that may use two processes.
_CREW = Crew(2, 2048)
ALONE_BYTES, SIDE_BY_SIDE_BYTES = _CREW.alone_bytes, _CREW.side_by_side_bytes


def process_with_accidents(task: Task, record: Record, tell: Callable[[Record], None]) -> None:
    word, _, argument = (task.text or "").partition(" ")
    if word == "KILL":
        os.kill(os.getpid(), signal.SIGKILL)
    if word == "ABORT":
        tell({"facts": {"sha256": "abc"}})
        os.abort()
    if word == "EXIT":
        sys.exit(3)
    if word == "HANG":
        Path(argument).write_text(str(os.getpid()))
        signal.pause()
    if word == "MEET":
        meet(*argument.split())
    if word == "LARGE":
        bytearray(SIDE_BY_SIDE_BYTES)
    if word == "PRINT":
        print("a library that talks")
    if word == "FULL":
        # As much as fits into a device that is always full.
        task = replace(task, text_file="/dev/full")
    if word == "MEMORY":
        document.parse = need_too_much  # type: ignore[assignment]
    document.process(task, record, tell)


def meet(mine: str, other: str) -> None:
    """Return when the process that works on the other document is here too."""
    Path(mine).touch()
    deadline = time.monotonic() + 30
    while not Path(other).exists():
        assert time.monotonic() < deadline
        os.sched_yield()


def chunk_with_accidents(parsed: Parsed, *arguments: Any) -> Any:
    word, _, argument = parsed.text.partition(" ")
    if word == "CHUNK-KILL":
        os.kill(os.getpid(), signal.SIGKILL)
    if word == "CHUNK-HANG":
        Path(argument).write_text(str(os.getpid()))
        signal.pause()
    if word == "CHUNK-LARGE":
        bytearray(SIDE_BY_SIDE_BYTES)
    if word == "CHUNK-MEMORY":
        bytearray(ALONE_BYTES)
    return usual_chunk(parsed, *arguments)


def need_too_much(*arguments: object) -> None:
    bytearray(ALONE_BYTES)


usual_chunk = chunk_document.chunk
chunk_document.chunk = chunk_with_accidents

if __name__ == "__main__":
    child.main(process_with_accidents)

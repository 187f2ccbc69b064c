"""A document process with accidents: what a document's text says happens to it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from worker.jobs.document_processing import child, document
from worker.jobs.document_processing.task import Task
from worker.jobs.shared.files import Record


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
    if word == "PRINT":
        print("a library that talks")
    if word == "FULL":
        # As much as fits into a device that is always full.
        task = replace(task, text_file="/dev/full")
    if word == "MEMORY":
        document.parse = need_too_much  # type: ignore[assignment]
    document.process(task, record, tell)


def need_too_much(*arguments: object) -> None:
    bytearray(child.MEMORY_LIMIT_BYTES)


if __name__ == "__main__":
    child.main(process_with_accidents)

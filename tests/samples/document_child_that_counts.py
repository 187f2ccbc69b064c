"""A document process that notes each parse in a file, and is killed with its job by a document that says so."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from worker.jobs.document_processing import child, document
from worker.jobs.document_processing.task import Task
from worker.jobs.shared.files import Record


def process_and_count(task: Task, record: Record, tell: Callable[[Record], None]) -> None:
    folder = Path(task.input_root)

    def parse(data: bytes, kind: Any, given: Task, advance: Callable[[float], None]) -> Any:
        with (folder / "parsed.log").open("a") as log:
            log.write(f"{given.name}\n")
        if (folder / "kill").exists() and given.name == (folder / "kill").read_text():
            os.kill(os.getppid(), signal.SIGKILL)
            signal.pause()
        return document_parse(data, kind, given, advance)

    document.parse = parse
    document.process(task, record, tell)


document_parse = document.parse

if __name__ == "__main__":
    child.main(process_and_count)

"""What the document process can be asked to do, by the name in the order. For the document process only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from worker.jobs.document_processing.record import new_record
from worker.jobs.document_processing.task import ChunkTask, FitTask, Task, Work
from worker.jobs.shared.files import Record
from worker.jobs.shared.workspace import storing

Tell = Callable[[Record], None]
Parse = Callable[[Task, Record, Tell], None]


def do(order: dict[str, Any], parse: Parse | None, tell: Tell) -> Record:
    """The record of the document as far as the work knows it. Raises StorageError."""
    file = Path(order["task"])
    work: Work = order["work"]
    # Each with libraries of its own, which only those that need them load.
    match work:
        case "parse":
            return _parse(file, order["password"], parse, tell)
        case "chunk":
            from worker.jobs.document_processing.chunk_document import chunk_document

            with storing():
                chunk_task = ChunkTask.load(file)
            return chunk_document(chunk_task)
        case "fit":
            from worker.jobs.document_processing.topics import fit

            with storing():
                fit_task = FitTask.load(file)
            fit(fit_task, lambda part: tell({"stage": "Learning", "progress": part}))
            return {}


def _parse(file: Path, password: str | None, parse: Parse | None, tell: Tell) -> Record:
    from worker.jobs.document_processing.document import process

    with storing():
        task = Task.load(file, password)
    record = new_record(task)
    (parse or process)(task, record, tell)
    return record

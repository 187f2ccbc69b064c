"""One document from its bytes to its text in the normal form. For the document process only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from worker.jobs.document_processing import finished
from worker.jobs.document_processing.errors import DocumentError
from worker.jobs.document_processing.marks import Marks
from worker.jobs.document_processing.parse import parse
from worker.jobs.document_processing.parsed import Notice
from worker.jobs.document_processing.record import failure, identity, success
from worker.jobs.document_processing.sniff import Sniffed, sniff, sniff_inline
from worker.jobs.document_processing.task import Task
from worker.jobs.shared.errors import InputError
from worker.jobs.shared.files import Record
from worker.jobs.shared.input_files import read_file, too_large

Tell = Callable[[Record], None]


def process(task: Task, record: Record, tell: Tell) -> None:
    """Fill in `record`, and leave the text among the finished parses.

    `tell` gets {"facts": {...}} as soon as the document is read, and {"stage": word, "progress": 0.0 to 1.0}. Raises
    StorageError.
    """
    try:
        _process(task, record, tell)
    except DocumentError as error:
        record.update(failure(error))
    except MemoryError:
        message = "The document needs more memory than a document may use."
        record.update(failure(DocumentError("parser_crashed", message, stage="parse")))


def _process(task: Task, record: Record, tell: Tell) -> None:
    data = _read(task)
    record.update(identity(task, data))
    tell({"facts": dict(record)})
    key = task.key(str(record["sha256"]))
    earlier = finished.find(task, key)
    record.update(_parse(data, task, key, record, tell) if earlier is None else earlier)


def _parse(data: bytes, task: Task, key: str, record: Record, tell: Tell) -> Record:
    sniffed = _sniff(data, task)
    # Kept when the parser fails.
    record["warnings"] = _rows(sniffed.notices)
    parsed = parse(data, sniffed.kind, task, lambda part: tell({"stage": "Parsing", "progress": part}))
    facts = success(parsed) | {"warnings": _rows([*sniffed.notices, *parsed.notices])}
    finished.keep(task, key, parsed.text, Marks.of(parsed), facts)
    return facts


def _read(task: Task) -> bytes:
    try:
        return _bytes_of(task)
    except InputError as error:
        raise DocumentError(error.code, str(error), stage="read", retryable=error.retryable) from None


def _bytes_of(task: Task) -> bytes:
    if task.text is None:
        return read_file(task.path or "", Path(task.input_root), task.limits.bytes)
    data = task.text.encode("utf-8", "replace")
    if len(data) > task.limits.bytes:
        raise too_large(task.limits.bytes)
    return data


def _sniff(data: bytes, task: Task) -> Sniffed:
    look = sniff if task.text is None else sniff_inline
    return look(data, task.name, task.input_format, task.parser)


def _rows(notices: list[Notice]) -> list[Record]:
    return [asdict(notice) for notice in notices]

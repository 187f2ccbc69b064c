"""One document from its bytes to its chunks. For the document process only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from worker.jobs.document_processing.chunk import Chunk, chunk
from worker.jobs.document_processing.errors import DocumentError
from worker.jobs.document_processing.parse import parse
from worker.jobs.document_processing.parsed import Notice
from worker.jobs.document_processing.record import failure, identity, success
from worker.jobs.document_processing.sniff import Sniffed, sniff, sniff_inline
from worker.jobs.document_processing.task import Task
from worker.jobs.shared.errors import InputError
from worker.jobs.shared.files import Record, json_line
from worker.jobs.shared.input_files import read_file, too_large
from worker.jobs.shared.workspace import storing

Tell = Callable[[Record], None]
_PARSING = 0.75


def process(task: Task, record: Record, tell: Tell) -> None:
    """Fill in `record`, and write the normal form and the chunks to the files that the task names.

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
    sniffed = _sniff(data, task)
    _note(record, sniffed.notices)
    parsed = parse(data, sniffed.kind, task, lambda part: tell({"stage": "Parsing", "progress": _PARSING * part}))
    _note(record, [*sniffed.notices, *parsed.notices])
    tell({"stage": "Chunking", "progress": _PARSING})
    chunks = chunk(parsed, task.chunking)
    document_id = str(record["document_id"])
    _write(task, document_id, parsed.text, chunks)
    record.update(success(parsed, document_id, len(chunks)))


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


def _note(record: Record, notices: list[Notice]) -> None:
    record["warnings"] = [asdict(notice) for notice in notices]


def _write(task: Task, document_id: str, text: str, chunks: list[Chunk]) -> None:
    with storing():
        with Path(task.chunks_file).open("wb") as file:
            file.writelines(_line(document_id, text, piece, task.chunking.strategy) for piece in chunks)
        Path(task.text_file).write_bytes(text.encode("utf-8"))


def _line(document_id: str, text: str, piece: Chunk, strategy: str) -> bytes:
    return json_line(
        {
            "chunk_id": f"{document_id}:{piece.index}",
            "document_id": document_id,
            "index": piece.index,
            "text": text[piece.start : piece.end],
            "start": piece.start,
            "end": piece.end,
            "page_start": piece.page_start,
            "page_end": piece.page_end,
            "headings": piece.headings,
            "strategy": strategy,
        }
    )

"""One document from its text to its chunks. For the document process only."""

from __future__ import annotations

from pathlib import Path

from worker.jobs.document_processing.chunk import Chunk, chunk
from worker.jobs.document_processing.errors import DocumentError
from worker.jobs.document_processing.marks import Marks
from worker.jobs.document_processing.parsed import Parsed
from worker.jobs.document_processing.record import failure
from worker.jobs.document_processing.task import ChunkTask
from worker.jobs.shared.files import Record, json_line
from worker.jobs.shared.workspace import storing


def chunk_document(task: ChunkTask) -> Record:
    """What the record of the document says after it. Writes the chunks to `chunks_file`. Raises StorageError."""
    try:
        return {"chunks": _chunk(task)}
    except DocumentError as error:
        return failure(error)
    except MemoryError:
        message = "Cutting the document needs more memory than a document may use."
        return failure(DocumentError("chunker_crashed", message, stage="chunk"))


def _chunk(task: ChunkTask) -> int:
    with storing():
        text = Path(task.text_file).read_bytes().decode("utf-8")
        marks = Marks.load(Path(task.marks_file))
    parsed = Parsed(text, marks.type, "", "", page_starts=marks.page_starts, headings=marks.headings)
    chunks = _cut(parsed, task)
    with storing(), Path(task.chunks_file).open("wb") as file:
        file.writelines(_line(task.document_id, text, piece, task.chunking.strategy) for piece in chunks)
    return len(chunks)


def _cut(parsed: Parsed, task: ChunkTask) -> list[Chunk]:
    if task.topics is None:
        return chunk(parsed, task.chunking, None, task.borders)
    # Loaded when it is needed: the libraries are large.
    from worker.jobs.document_processing.topics import Topics

    return chunk(parsed, task.chunking, Topics.load(Path(task.topics)))


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

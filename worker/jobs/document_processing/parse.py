"""From bytes to the normal form, whatever the kind of document. For the document process only."""

from __future__ import annotations

from collections.abc import Callable

from worker.jobs.document_processing.decode import Decoded, decode
from worker.jobs.document_processing.errors import DocumentError
from worker.jobs.document_processing.markdown import find_headings
from worker.jobs.document_processing.parsed import Parsed
from worker.jobs.document_processing.sniff import Kind
from worker.jobs.document_processing.task import Task

_MEDIA_TYPES = {"markdown": "text/markdown", "text": "text/plain"}


def parse(data: bytes, kind: Kind, task: Task, advance: Callable[[float], None]) -> Parsed:
    """`advance` is told the part that is done. Raises DocumentError with a code of the parsers or of `decode`."""
    if kind == "pdf":
        # PDFium is only loaded when there is a PDF.
        from worker.jobs.document_processing.pdf import parse_pdf

        return parse_pdf(data, task.limits, strip=task.strip_boilerplate, advance=advance)
    decoded = decode(data, task.encoding if task.text is None else "utf-8")
    return _parse_text(decoded, kind, task.limits.characters)


def _parse_text(decoded: Decoded, kind: Kind, max_characters: int) -> Parsed:
    text = decoded.text
    if len(text) > max_characters:
        message = f"The document has {len(text):,} characters, more than max_characters ({max_characters:,})."
        raise DocumentError("too_many_characters", message, stage="parse")
    if not text.strip():
        raise DocumentError("no_text", "The document has nothing but blanks in it.", stage="parse")
    return Parsed(
        text,
        kind,
        _MEDIA_TYPES[kind],
        parser="text",
        encoding=decoded.encoding,
        headings=find_headings(text) if kind == "markdown" else [],
        notices=decoded.notices,
    )

"""From bytes to the normal form, whatever the kind of document. For the document process only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from worker.jobs.document_processing.decode import Decoded, decode
from worker.jobs.document_processing.errors import DocumentError
from worker.jobs.document_processing.formats import Kind
from worker.jobs.document_processing.parsed import Notice, Parsed
from worker.jobs.document_processing.task import Task

_MEDIA_TYPES = {"markdown": "text/markdown", "text": "text/plain"}


def parse(data: bytes, kind: Kind, task: Task, advance: Callable[[float], None]) -> Parsed:
    """`advance` is told the part that is done. Raises DocumentError with a code of the parsers or of `decode`."""
    parsed = _parse(data, kind, task, advance)
    if len(parsed.text) > task.limits.characters:
        count, limit = len(parsed.text), task.limits.characters
        message = f"The document has {count:,} characters, more than max_characters ({limit:,})."
        raise DocumentError("too_many_characters", message, stage="parse")
    if not parsed.text.strip():
        reasons = ["The document has no text in it: nothing but blanks is left."]
        reasons += [notice.message for notice in parsed.notices]
        raise DocumentError("no_text", " ".join(reasons), stage="parse")
    if task.pages is not None and parsed.page_starts is None:
        message = f"'pages' is for PDFs; this document ({kind}) has no fixed pages and was read whole."
        parsed.notices.append(Notice("pages_ignored", message))
    return parsed


def _parse(data: bytes, kind: Kind, task: Task, advance: Callable[[float], None]) -> Parsed:
    # Each library is only loaded when there is a document for it.
    encoding = task.encoding if task.text is None else "utf-8"
    if task.parser == "xberg":
        from worker.jobs.document_processing.by_xberg import parse_by_xberg

        return parse_by_xberg(data, kind, task, encoding)
    match kind:
        case "pdf":
            from worker.jobs.document_processing.pdf import parse_pdf

            return parse_pdf(
                data,
                task.limits,
                strip=task.strip_boilerplate,
                pages=task.pages,
                password=task.password,
                advance=advance,
            )
        case "docx":
            from worker.jobs.document_processing.docx import parse_docx

            return parse_docx(data)
        case "html":
            from worker.jobs.document_processing.html import parse_html

            return parse_html(data, encoding, task.charset, strip=task.strip_boilerplate)
        case "odt" | "pptx" | "xlsx" | "epub" | "rtf" | "eml":
            from worker.jobs.document_processing.by_xberg import parse_by_xberg

            return parse_by_xberg(data, kind, task, encoding)
    return _parse_text(decode(data, encoding, task.charset), kind)


def _parse_text(decoded: Decoded, kind: Literal["markdown", "text"]) -> Parsed:
    headings = []
    if kind == "markdown":
        from worker.jobs.document_processing.markdown import find_headings

        headings = find_headings(decoded.text)
    return Parsed(
        decoded.text,
        kind,
        _MEDIA_TYPES[kind],
        parser="text",
        encoding=decoded.encoding,
        headings=headings,
        notices=decoded.notices,
    )

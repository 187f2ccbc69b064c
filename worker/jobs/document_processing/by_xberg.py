"""Documents of many kinds to the normal form by xberg. For the document process only.

It is given bytes and nothing else to work with: no network, no cache, no models, no character recognition, one thread.
"""

from __future__ import annotations

import asyncio
import os
import re
from typing import Final

# Read when the library starts its threads.
os.environ["TOKIO_WORKER_THREADS"] = "1"

import xberg

from worker.jobs.document_processing.decode import normalise
from worker.jobs.document_processing.errors import DocumentError
from worker.jobs.document_processing.formats import NAMES, Kind
from worker.jobs.document_processing.html import decode_page
from worker.jobs.document_processing.markdown import find_headings
from worker.jobs.document_processing.parsed import Notice, Parsed
from worker.jobs.document_processing.plain_markdown import plain_markdown, without_controls
from worker.jobs.document_processing.task import Task

_OFFICE: Final = "application/vnd.openxmlformats-officedocument"
_MEDIA_TYPES: Final[dict[str, str]] = {
    "pdf": "application/pdf",
    "docx": f"{_OFFICE}.wordprocessingml.document",
    "html": "text/html",
    "odt": "application/vnd.oasis.opendocument.text",
    "pptx": f"{_OFFICE}.presentationml.presentation",
    "xlsx": f"{_OFFICE}.spreadsheetml.sheet",
    "epub": "application/epub+zip",
    "rtf": "application/rtf",
    "eml": "message/rfc822",
}
# Archives have been looked at before; a large workbook is no attack, and the memory limit holds anyway.
_LIMITS: Final = xberg.SecurityLimits(max_compression_ratio=1000, max_table_cells=10_000_000)
_WORD: Final = re.compile(r"[^\W_]")
_OF_NO_BODY: Final = re.compile(r"^\*\*(?:From|To|Cc|Bcc|Date)\*\*: .*$", re.MULTILINE)
# Where more than a tenth is none, it was no text.
_JUNK: Final = re.compile("[\x00-\x08\x0e-\x1f\x7f\ufffd]")
_LONGEST_REASON: Final = 120


def parse_by_xberg(data: bytes, kind: Kind, task: Task, encoding: str | None) -> Parsed:
    """Archives have been checked before. Raises DocumentError `corrupt_file`, `no_text` or those of `parse_pdf`."""
    if kind == "pdf":
        # Only now: it loads PDFium too.
        from worker.jobs.document_processing.xberg_pdf import parse_pdf_by_xberg

        return parse_pdf_by_xberg(data, task)
    decoded = decode_page(data, encoding, task.charset) if kind == "html" else None
    content, notices = extract(data if decoded is None else decoded.text.encode(), kind, strip=task.strip_boilerplate)
    notices += _cut_short(data, kind)
    _check_words(content, kind, damaged=bool(notices))
    text = without_controls(normalise(content))
    # What comes from HTML is not escaped, and its links are words already.
    if kind in ("html", "epub"):
        headings = find_headings(text)
    else:
        text, headings = plain_markdown(text)
    return Parsed(
        text,
        kind,
        _MEDIA_TYPES[kind],
        parser="xberg",
        encoding=None if decoded is None else decoded.encoding,
        headings=headings,
        notices=notices if decoded is None else [*decoded.notices, *notices],
    )


def extract(
    data: bytes, kind: Kind, *, strip: bool, password: str | None = None, page_mark: str | None = None
) -> tuple[str, list[Notice]]:
    """`page_mark`: what stands in front of each page, with "{page_num}" in it. Raises DocumentError `corrupt_file`."""
    source = xberg.ExtractInput(kind="bytes", bytes=data, mime_type=_MEDIA_TYPES[kind])
    try:
        result = asyncio.run(xberg.extract(source, _config(kind, strip, password, page_mark)))
    except (xberg.XbergError, RuntimeError, ValueError, OSError) as error:
        raise _unreadable(kind, str(error)) from None
    if not result.results:
        raise _unreadable(kind, "there is nothing in it")
    document = result.results[0]
    warnings = document.processing_warnings or []
    return document.content, [_left_out(len(warnings), str(warnings[0].message))] if warnings else []


def _config(kind: Kind, strip: bool, password: str | None, page_mark: str | None) -> xberg.ExtractionConfig:
    pages = None if page_mark is None else xberg.PageConfig(insert_page_markers=True, marker_format=page_mark)
    return xberg.ExtractionConfig(
        output_format="markdown",
        use_cache=False,
        disable_ocr=True,
        enable_quality_processing=False,
        # The document process ends in time whatever it does.
        extraction_timeout_secs=None,
        max_archive_depth=0,
        concurrency=xberg.ConcurrencyConfig(max_threads=1),
        security_limits=_LIMITS,
        content_filter=xberg.ContentFilterConfig(
            include_headers=not strip, include_footers=not strip, include_footnotes=True, strip_repeating_text=strip
        ),
        html_options=_html_options(strip=strip and kind == "html"),
        pages=pages,
        pdf_options=None if password is None else xberg.PdfConfig(passwords=[password]),
    )


def _html_options(*, strip: bool) -> xberg.ConversionOptions:
    preprocessing = xberg.PreprocessingOptions(
        enabled=strip, preset="aggressive", remove_navigation=strip, remove_forms=strip
    )
    return xberg.ConversionOptions(
        preprocessing=preprocessing,
        strip_tags=["a"],
        bullets="-",
        compact_tables=True,
        autolinks=False,
        extract_metadata=False,
        skip_images=True,
    )


def _cut_short(data: bytes, kind: Kind) -> list[Notice]:
    if kind != "rtf" or data.rstrip(b"\0\t\r\n ").endswith(b"}"):
        return []
    message = "The file is cut short: its end is missing. What is there was read, but the rest may lack."
    return [Notice("truncated", message)]


def _check_words(content: str, kind: Kind, *, damaged: bool) -> None:
    words = _OF_NO_BODY.sub("", content) if kind == "eml" else content
    if 10 * len(_JUNK.findall(content)) > len(content) or (damaged and not _WORD.search(words)):
        raise _unreadable(kind, "there is no text in what is left of it")
    if not _WORD.search(words):
        message = f"The document has no text in it: it is {NAMES[kind]} without words."
        raise DocumentError("no_text", message, stage="parse")


def _unreadable(kind: Kind, reason: str) -> DocumentError:
    what = NAMES[kind].partition(" ")[2]
    message = f"The document is damaged: what is in it is no readable {what} ({_shortened(reason)})."
    return DocumentError("corrupt_file", message, stage="parse")


def _left_out(count: int, first: str) -> Notice:
    message = f"Parts of the document could not be read and were left out ({count}; the first: {_shortened(first)})."
    return Notice("content_ignored", message, count)


def _shortened(reason: str) -> str:
    line = " ".join(reason.split()).rstrip(".")
    return line if len(line) <= _LONGEST_REASON else line[: _LONGEST_REASON - 1] + "…"

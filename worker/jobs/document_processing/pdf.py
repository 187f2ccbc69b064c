"""PDF to the normal form by PDFium: text page by page, outline entries as headings. For the document process only."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice

import pypdfium2
import pypdfium2.raw as pdfium

from worker.jobs.document_processing.boilerplate import strip_repeated
from worker.jobs.document_processing.errors import DocumentError
from worker.jobs.document_processing.outline import Entry, PlacedHeading, place_headings, plain
from worker.jobs.document_processing.page_ranges import choose, parse_ranges
from worker.jobs.document_processing.parsed import Heading, Notice, Parsed
from worker.jobs.document_processing.task import Limits

_MAX_ENTRIES = 10_000
_LOCKED = {pdfium.FPDF_ERR_PASSWORD, pdfium.FPDF_ERR_SECURITY}
# PDFium marks a hyphen at a line's end, where the word goes on in the next line.
_SOFT_HYPHEN = re.compile("[\ufffe\x02](?:\r?\n)?")
# The mark of the end is in the last bytes, and a file made for the web tells its length in the first ones.
_EDGE = 1024
_LINEARIZED = re.compile(rb"<<[^<>]*/Linearized[^<>]*>>")
_LENGTH = re.compile(rb"/L\s+(\d{1,12})")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f\ufffe\uffff]")


def parse_pdf(
    data: bytes,
    limits: Limits,
    *,
    strip: bool,
    advance: Callable[[float], None],
    pages: str | None = None,
    password: str | None = None,
) -> Parsed:
    """`advance` is told the part of the pages that are done; `pages` are those to read, None for all.

    Raises DocumentError `encrypted`, `corrupt_file`, `no_such_pages`, `too_many_pages`, `too_many_characters` or
    `no_text_layer`.
    """
    with closing(open_pdf(data, password)) as document:
        wanted, notices = choose_pages(len(document), pages, limits)
        read, unreadable = _read_pages(document, wanted, limits, advance)
        entries = list(_read_outline(document))
    if not any(read):
        raise without_text(len(wanted), unreadable)
    if strip:
        read = strip_repeated(read, keep={plain(entry.title) for entry in entries})
    text, starts, headings = _compose(read, place_headings(read, entries))
    return Parsed(
        text,
        "pdf",
        "application/pdf",
        parser="pdfium",
        page_starts=starts,
        pages=len(wanted),
        headings=headings,
        notices=[*notices, *truncated(data), *([_unreadable_notice(unreadable)] if unreadable else [])],
    )


def open_pdf(data: bytes, password: str | None) -> pypdfium2.PdfDocument:
    """Raises DocumentError `encrypted` or `corrupt_file`."""
    try:
        return pypdfium2.PdfDocument(data, password=password)
    except pypdfium2.PdfiumError as error:
        if error.err_code in _LOCKED:
            hint = "give it as 'password'" if password is None else "the one in 'password' does not open it"
            message = f"The document is encrypted and needs a password to be read: {hint}."
            raise DocumentError("encrypted", message, stage="parse") from None
        message = "The document is damaged: PDFium finds no readable PDF in it."
        raise DocumentError("corrupt_file", message, stage="parse") from None


def choose_pages(count: int, pages: str | None, limits: Limits) -> tuple[list[int], list[Notice]]:
    """The indexes of the pages to read. Raises DocumentError `no_such_pages` or `too_many_pages`."""
    ranges = parse_ranges(pages) if pages is not None else [(1, count)]
    wanted = choose(ranges, count)
    if pages is not None and not wanted:
        message = f"The document has {count:,} pages; none of those asked for in 'pages' is among them."
        raise DocumentError("no_such_pages", message, stage="parse")
    if len(wanted) > limits.pages:
        message = f"The document has {len(wanted):,} pages to read, more than max_pages ({limits.pages:,})."
        raise DocumentError("too_many_pages", message, stage="parse")
    if max(last for _, last in ranges) <= count:
        return wanted, []
    return wanted, [Notice("pages_beyond_end", f"The document ends at page {count:,}; 'pages' asks for more.")]


def _read_pages(
    document: pypdfium2.PdfDocument, wanted: list[int], limits: Limits, advance: Callable[[float], None]
) -> tuple[list[list[str]], int]:
    """The lines of each page, with none for those not wanted, and how many pages could not be read."""
    pages: list[list[str]] = [[] for _ in range(len(document))]
    characters = unreadable = 0
    for done, index in enumerate(wanted, 1):
        try:
            lines = _lines(_page_text(document, index))
        except pypdfium2.PdfiumError:
            lines, unreadable = [], unreadable + 1
        characters += sum(map(len, lines))
        if characters > limits.characters:
            message = f"The document has more than max_characters ({limits.characters:,}) characters of text."
            raise DocumentError("too_many_characters", message, stage="parse")
        pages[index] = lines
        advance(done / len(wanted))
    return pages, unreadable


def _page_text(document: pypdfium2.PdfDocument, index: int) -> str:
    with closing(document[index]) as page, closing(page.get_textpage()) as text:
        return str(text.get_text_bounded())


def _lines(raw: str) -> list[str]:
    text = _SOFT_HYPHEN.sub("", raw).replace("\r\n", "\n").replace("\r", "\n")
    text = unicodedata.normalize("NFC", _CONTROL.sub("", text))
    lines = [line.rstrip() for line in text.split("\n")]
    return lines if any(lines) else []


def _read_outline(document: pypdfium2.PdfDocument) -> Iterator[Entry]:
    for bookmark in islice(document.get_toc(), _MAX_ENTRIES):
        destination = bookmark.get_dest()
        page = destination.get_index() if destination is not None else None
        title = _title(bookmark)
        if page is not None and title:
            yield Entry(min(bookmark.level + 1, 6), title, page)


def _title(bookmark: pypdfium2.PdfBookmark) -> str:
    """Empty when it is no text, such as half a character."""
    try:
        return " ".join(bookmark.get_title().split())
    except UnicodeDecodeError:
        return ""


def truncated(data: bytes) -> list[Notice]:
    """PDFium puts together what it can find, and does not tell that the file ends too early."""
    linearized = _LINEARIZED.search(data[:_EDGE])
    length = _LENGTH.search(linearized[0]) if linearized else None
    if b"%%EOF" in data[-_EDGE:] and (length is None or int(length[1]) <= len(data)):
        return []
    message = "The file is cut short: its end is missing. What is there was read, but pages or parts of them may lack."
    return [Notice("truncated", message)]


def without_text(count: int, unreadable: int = 0) -> DocumentError:
    if unreadable == count:
        return DocumentError("corrupt_file", "The document is damaged: none of its pages can be read.", stage="parse")
    message = f"None of the {count:,} pages has text; the document may be scanned, and images are not read."
    return DocumentError("no_text_layer", message, stage="parse")


def _unreadable_notice(count: int) -> Notice:
    return Notice("pages_unreadable", f"{count} damaged pages could not be read and are empty here.", count)


def _compose(pages: list[list[str]], placed: list[list[PlacedHeading]]) -> tuple[str, list[int], list[Heading]]:
    parts: list[str] = []
    starts: list[int] = []
    headings: list[Heading] = []
    offset = 0
    for lines, marks in zip(pages, placed, strict=True):
        text, found = _compose_page(lines, marks)
        starts.append(offset)
        headings += [Heading(offset + start, offset + end, mark.level, mark.title) for start, end, mark in found]
        parts.append(text)
        offset += len(text)
    return "".join(parts), starts, headings


def _compose_page(lines: list[str], marks: list[PlacedHeading]) -> tuple[str, list[tuple[int, int, PlacedHeading]]]:
    """The page's text with its headings as Markdown lines, and where in it each of them begins and ends."""
    text = ""
    found = []
    done = 0
    for mark in marks:
        text += _block(lines[done : mark.line])
        start = len(text)
        text += f"{'#' * mark.level} {mark.title}\n\n"
        found.append((start, len(text) - 1, mark))
        done = mark.line + mark.lines
    return text + _block(lines[done:]), found


def _block(lines: list[str]) -> str:
    text = "\n".join(lines).strip("\n")
    return text and text + "\n\n"

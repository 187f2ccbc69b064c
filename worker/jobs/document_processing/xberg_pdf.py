"""PDF to the normal form by xberg, which finds headings by how they look. For the document process only.

PDFium opens the file first: so it is refused for the same reasons, whoever reads it.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import closing
from dataclasses import replace

from worker.jobs.document_processing.by_xberg import extract
from worker.jobs.document_processing.decode import normalise
from worker.jobs.document_processing.parsed import Heading, Parsed
from worker.jobs.document_processing.pdf import choose_pages, open_pdf, truncated, without_text
from worker.jobs.document_processing.plain_markdown import plain_markdown, without_controls
from worker.jobs.document_processing.task import Task


def parse_pdf_by_xberg(data: bytes, task: Task) -> Parsed:
    """Raises DocumentError, see `parse_pdf`."""
    with closing(open_pdf(data, task.password)) as document:
        count = len(document)
        wanted, notices = choose_pages(count, task.pages, task.limits)
    # No document can hold its own hash.
    mark = f"\x02{hashlib.sha256(data).hexdigest()}-{{page_num}}\x02"
    content, ignored = extract(
        data, "pdf", strip=task.strip_boilerplate, password=task.password, page_mark=f"\n\n{mark}\n\n"
    )
    pages = _pages(content, mark, count)
    if not any(pages[index] for index in wanted):
        raise without_text(len(wanted))
    text, starts, headings = _compose(pages, set(wanted))
    return Parsed(
        text,
        "pdf",
        "application/pdf",
        parser="xberg",
        page_starts=starts,
        pages=len(wanted),
        headings=headings,
        notices=[*notices, *ignored, *truncated(data)],
    )


def _pages(content: str, mark: str, count: int) -> list[str]:
    """The text of each page; those without any have no mark either."""
    pages = [""] * count
    before, *parts = re.split(re.escape(mark).replace(r"\{page_num\}", "([0-9]+)"), content)
    for number, part in zip(map(int, parts[::2]), parts[1::2], strict=True):
        if 1 <= number <= count:
            pages[number - 1] += part
    pages[0] = before + pages[0]
    return [without_controls(normalise(page)).strip() for page in pages]


def _compose(pages: list[str], wanted: set[int]) -> tuple[str, list[int], list[Heading]]:
    """The text with an empty page for each that is not wanted, where its pages begin, and its headings."""
    parts: list[str] = []
    starts: list[int] = []
    headings: list[Heading] = []
    offset = 0
    for index, page in enumerate(pages):
        starts.append(offset)
        if page and index in wanted:
            text, found = plain_markdown(f"{page}\n\n")
            headings += [replace(head, start=offset + head.start, end=offset + head.end) for head in found]
            parts.append(text)
            offset += len(text)
    return "".join(parts), starts, headings

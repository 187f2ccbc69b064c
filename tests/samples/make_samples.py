"""Make the sample files out of their sources: `PYTHONPATH=tests python -m samples.make_samples`.

Every run gives the same bytes.

`handbook.pdf` is written by hand (PDF 1.4, nothing compressed, standard fonts, an outline of two levels), so that the
tests need no library for making PDFs. `inspection.docx` and `tide-tables.html` have modules of their own. `brief.txt`
is the source in cp1252. `guide.md` is its own source.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from pathlib import Path

from samples.make_docx import make_docx
from samples.make_html import make_html

HERE = Path(__file__).parent
TITLE = "Running a Small Water Works"
LINES_PER_PAGE = 44
HEADING_SIZES = {1: 18, 2: 13, 0: 11}
SOURCES = {
    "handbook.pdf": "source/handbook.md",
    "inspection.docx": "source/inspection.md",
    "tide-tables.html": "source/tide-tables.md",
    "brief.txt": "source/brief.txt",
    "guide.md": "guide.md",
}


@dataclass
class Page:
    lines: list[tuple[int, str]] = field(default_factory=list)


@dataclass
class Entry:
    level: int
    title: str
    page: int
    children: list[Entry] = field(default_factory=list)


def lay_out(markdown: str) -> tuple[list[Page], list[Entry]]:
    """Chapters start on a new page; a line is (heading level or 0, text)."""
    pages: list[Page] = []
    outline: list[Entry] = []
    for block in markdown.strip().split("\n\n"):
        level = len(block) - len(block.lstrip("#"))
        text = block.lstrip("# ").replace("*", "")
        lines = [(level, text)] if level else [(0, line) for line in textwrap.wrap(text, 88)]
        if level == 1 or len(pages[-1].lines) + len(lines) + 1 + 4 * (level == 2) > LINES_PER_PAGE:
            pages.append(Page())
        pages[-1].lines += [*lines, (0, "")]
        if level:
            entry = Entry(level, text, len(pages) - 1)
            (outline if level == 1 else outline[-1].children).append(entry)
    return pages, outline


def quoted(text: str) -> bytes:
    return b"(" + text.encode("cp1252").replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)") + b")"


def content(page: Page, number: int) -> bytes:
    """The drawing commands of one page: running head, lines from the top down, page number."""
    parts = [b"BT /F1 9 Tf 72 800 Td " + quoted(TITLE) + b" Tj ET"]
    y = 765
    for level, text in page.lines:
        font = b"/F2" if level else b"/F1"
        if text:
            parts.append(b"BT %s %d Tf 72 %d Td %s Tj ET" % (font, HEADING_SIZES[level], y, quoted(text)))
        y -= 22 if level else 15
    parts.append(b"BT /F1 9 Tf 290 40 Td " + quoted(f"Page {number}") + b" Tj ET")
    return b"\n".join(parts)


class Writer:
    """Numbers objects as they are added, and knows where each begins for the cross-reference table."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def add(self, body: bytes = b"") -> int:
        self.bodies.append(body)
        return len(self.bodies)

    def put(self, number: int, body: bytes) -> None:
        self.bodies[number - 1] = body

    def finish(self, root: int) -> bytes:
        out, places = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n", []
        for number, body in enumerate(self.bodies, 1):
            places.append(len(out))
            out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
        table = b"".join(b"%010d 00000 n \n" % place for place in places)
        size = len(places) + 1
        out += b"xref\n0 %d\n0000000000 65535 f \n%s" % (size, table)
        return out + b"trailer\n<< /Size %d /Root %d 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (size, root, len(out))


def add_outline(writer: Writer, parent: int, entries: list[Entry], pages: list[int]) -> bytes:
    """Add the entries below `parent`; the answer is the piece of the parent's dictionary that names them."""
    numbers = [writer.add() for _ in entries]
    for place, (number, entry) in enumerate(zip(numbers, entries, strict=True)):
        body = b"<< /Title %s /Parent %d 0 R /Dest [%d 0 R /Fit]" % (quoted(entry.title), parent, pages[entry.page])
        if place:
            body += b" /Prev %d 0 R" % numbers[place - 1]
        if place + 1 < len(numbers):
            body += b" /Next %d 0 R" % numbers[place + 1]
        if entry.children:
            body += add_outline(writer, number, entry.children, pages)
        writer.put(number, body + b" >>")
    return b" /First %d 0 R /Last %d 0 R /Count %d" % (numbers[0], numbers[-1], len(numbers))


def make_pdf(markdown: str) -> bytes:
    pages, entries = lay_out(markdown)
    writer = Writer()
    root, tree, outline = writer.add(), writer.add(), writer.add()
    fonts = [
        writer.add(b"<< /Type /Font /Subtype /Type1 /BaseFont /%s /Encoding /WinAnsiEncoding >>" % name)
        for name in (b"Helvetica", b"Helvetica-Bold")
    ]
    look = b"/MediaBox [0 0 595 842] /Resources << /Font << /F1 %d 0 R /F2 %d 0 R >> >>" % (fonts[0], fonts[1])
    numbers = []
    for number, page in enumerate(pages, 1):
        stream = content(page, number)
        body = writer.add(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
        numbers.append(writer.add(b"<< /Type /Page /Parent %d 0 R %s /Contents %d 0 R >>" % (tree, look, body)))
    kids = b" ".join(b"%d 0 R" % number for number in numbers)
    writer.put(tree, b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, len(numbers)))
    writer.put(outline, b"<< /Type /Outlines%s >>" % add_outline(writer, outline, entries, numbers))
    writer.put(root, b"<< /Type /Catalog /Pages %d 0 R /Outlines %d 0 R >>" % (tree, outline))
    return writer.finish(root)


def source_of(sample: str) -> str:
    """The text that a sample is made of."""
    return (HERE / SOURCES[sample]).read_text("utf-8")


def make(sample: str) -> bytes:
    source = source_of(sample)
    match Path(sample).suffix:
        case ".pdf":
            return make_pdf(source)
        case ".docx":
            return make_docx(source)
        case ".html":
            return make_html(source).encode()
        case ".txt":
            return source.encode("cp1252")
    return source.encode()


def main() -> None:
    for sample in SOURCES:
        (HERE / sample).write_bytes(make(sample))


if __name__ == "__main__":
    main()

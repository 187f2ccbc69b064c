"""The kinds of documents and who reads them. Light: the server uses it at submit."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final, Literal

Kind = Literal["pdf", "docx", "html", "markdown", "text", "odt", "pptx", "xlsx", "epub", "rtf", "eml"]
InputFormat = Literal["auto", "pdf", "docx", "html", "markdown", "text", "odt", "pptx", "xlsx", "epub", "rtf", "eml"]
Parser = Literal["auto", "pdfium", "mammoth", "html", "text", "xberg"]

# Only xberg reads them, which comes with the extra `formats`.
EXTRA: Final[tuple[Kind, ...]] = ("odt", "pptx", "xlsx", "epub", "rtf", "eml")
# The parser of texts shows the source of an HTML page.
READS: dict[str, tuple[Kind, ...]] = {
    "auto": ("pdf", "docx", "html", "markdown", "text", *EXTRA),
    "pdfium": ("pdf",),
    "mammoth": ("docx",),
    "html": ("html",),
    "text": ("text", "markdown", "html"),
    "xberg": ("pdf", "docx", "html", *EXTRA),
}
# They cannot come as a text inside of the job.
BINARY: tuple[Kind, ...] = ("pdf", "docx", *EXTRA)
NAMES: Final[dict[Kind, str]] = {
    "pdf": "a PDF document",
    "docx": "a Word document",
    "html": "an HTML page",
    "markdown": "text",
    "text": "text",
    "odt": "an OpenDocument text",
    "pptx": "a PowerPoint presentation",
    "xlsx": "an Excel workbook",
    "epub": "an EPUB book",
    "rtf": "a rich text document",
    "eml": "an e-mail",
}


def extra_is_there() -> bool:
    return find_spec("xberg") is not None

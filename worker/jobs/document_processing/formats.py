"""The kinds of documents and who reads them. Light: the server uses it at submit."""

from __future__ import annotations

from typing import Literal

Kind = Literal["pdf", "docx", "html", "markdown", "text"]
InputFormat = Literal["auto", "pdf", "docx", "html", "markdown", "text"]
Parser = Literal["auto", "pdfium", "mammoth", "html", "text"]

# The parser of texts shows the source of an HTML page.
READS: dict[str, tuple[Kind, ...]] = {
    "auto": ("pdf", "docx", "html", "markdown", "text"),
    "pdfium": ("pdf",),
    "mammoth": ("docx",),
    "html": ("html",),
    "text": ("text", "markdown", "html"),
}
# They cannot come as a text inside of the job.
BINARY: tuple[Kind, ...] = ("pdf", "docx")

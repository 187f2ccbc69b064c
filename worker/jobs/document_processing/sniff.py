"""What a document is, told by its first bytes; its extension only chooses between kinds of text."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal

from worker.jobs.document_processing.errors import DocumentError
from worker.jobs.document_processing.parsed import Notice

Kind = Literal["pdf", "markdown", "text"]
BUILT = "PDF, Markdown and plain text"

_HTML = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html)\b", re.I | re.S
)
_OTHERS = (
    (b"PK\x03\x04", "a ZIP archive or office document"),
    (b"PK\x05\x06", "a ZIP archive or office document"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old office document"),
    (b"{\\rtf", "a rich text document"),
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"\x1f\x8b\x08", "a gzip archive"),
)
_MARKDOWN = {".md", ".markdown", ".mdown", ".mkd"}
_TEXT = {".txt", ".text"}
_NO_TEXT = {".pdf", ".docx", ".doc", ".html", ".htm", ".odt", ".rtf", ".xlsx", ".pptx", ".epub", ".zip", ".png", ".jpg"}


@dataclass(frozen=True, slots=True)
class Sniffed:
    kind: Kind
    notices: list[Notice] = field(default_factory=list)


def sniff(data: bytes, name: str, input_format: str) -> Sniffed:
    """Decide the kind; `input_format` is what the caller says it is, or "auto".

    Raises DocumentError `empty_file`, `unsupported_format` or `corrupt_file` (asked to be PDF, and is none).
    """
    _refuse_empty(data)
    if input_format == "pdf" and not _is_pdf(data, name):
        raise DocumentError("corrupt_file", "This is no PDF document: it has no PDF header.", stage="sniff")
    if _is_pdf(data, name):
        return _sniffed_pdf(name, input_format)
    _refuse_others(data, html_is_text=input_format != "auto")
    kind = _kind_of_text(name) if input_format == "auto" else input_format
    return Sniffed("markdown" if kind == "markdown" else "text", _mismatch(name, _NO_TEXT, "text"))


def sniff_inline(data: bytes, name: str, input_format: str) -> Sniffed:
    """The kind of a text that came with the job: text is text, whatever it begins with.

    Raises DocumentError `empty_file`.
    """
    _refuse_empty(data)
    kind = _kind_of_text(name) if input_format == "auto" else input_format
    return Sniffed("markdown" if kind == "markdown" else "text")


def _refuse_empty(data: bytes) -> None:
    if not data:
        raise DocumentError("empty_file", "The document has no content: zero bytes.", stage="sniff")


def suffix_of(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _is_pdf(data: bytes, name: str) -> bool:
    if data.startswith(b"%PDF-"):
        return True
    # Some writers put bytes before the header; a text that merely speaks about PDF has the word there too.
    return b"%PDF-" in data[:1024] and (suffix_of(name) == ".pdf" or b"startxref" in data[-2048:])


def _sniffed_pdf(name: str, input_format: str) -> Sniffed:
    if input_format not in ("auto", "pdf"):
        message = f"This is a PDF document, but input_format says '{input_format}'; 'auto' would read it."
        raise DocumentError("unsupported_format", message, stage="sniff")
    return Sniffed("pdf", _mismatch(name, _MARKDOWN | _TEXT | _NO_TEXT - {".pdf"}, "a PDF document"))


def _refuse_others(data: bytes, *, html_is_text: bool) -> None:
    found = next((what for signature, what in _OTHERS if data.startswith(signature)), None)
    if found is None and not html_is_text and _HTML.match(data[:1024]):
        found = "an HTML page"
    if found is not None:
        message = f"This is {found}, which cannot be read yet; what can be read is {BUILT}."
        raise DocumentError("unsupported_format", message, stage="sniff")


def _kind_of_text(name: str) -> str:
    return "markdown" if suffix_of(name) in _MARKDOWN else "text"


def _mismatch(name: str, wrong: set[str], content: str) -> list[Notice]:
    if suffix_of(name) not in wrong:
        return []
    return [Notice("extension_mismatch", f"The name ends in {suffix_of(name)}, but the content is {content}.")]

"""What a document is, told by its content; its extension only chooses between kinds of text."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from worker.jobs.document_processing.archive import recognise_archive
from worker.jobs.document_processing.errors import DocumentError
from worker.jobs.document_processing.formats import (
    BINARY,
    EXTRA,
    NAMES,
    READS,
    InputFormat,
    Kind,
    Parser,
    extra_is_there,
)
from worker.jobs.document_processing.mail import is_mail, refuse_sealed
from worker.jobs.document_processing.parsed import Notice

BUILT = (
    "PDF, Word (DOCX), HTML, Markdown, plain text and, with the extra 'formats', ODT, PPTX, XLSX, EPUB, RTF and e-mail"
)

_SAMPLE = 1024
# A comment can be read in one way only: else the ways to read many of them would multiply.
_HTML = re.compile(rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--(?:[^-]|-(?!->))*-->\s*)*<(?:!doctype\s+html|html)\b", re.I)
_TAG = re.compile(rb"<[a-z!][^<>]*>", re.I)
_ARCHIVES = (b"PK\x03\x04", b"PK\x05\x06")
_RICH_TEXT = b"{\\rtf"
_OLD_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OTHERS = (
    (_OLD_OFFICE, "an old office document"),
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"\x1f\x8b\x08", "a gzip archive"),
)
# What an office document with a password has inside.
_LOCKED = "EncryptedPackage".encode("utf-16-le")
_MARKDOWN = {".md", ".markdown", ".mdown", ".mkd"}
_HTML_SUFFIXES = {".html", ".htm", ".xhtml"}
_PROMISES = {
    **dict.fromkeys([*_MARKDOWN, ".txt", ".text"], "text"),
    **dict.fromkeys(_HTML_SUFFIXES, NAMES["html"]),
    **dict.fromkeys([".docx", ".docm"], NAMES["docx"]),
    **dict.fromkeys([".doc", ".ods", ".odp", ".xls", ".ppt", ".zip", ".png", ".jpg"], "something else"),
    **{f".{kind}": NAMES[kind] for kind in ("pdf", *EXTRA)},
}


@dataclass(frozen=True, slots=True)
class Sniffed:
    kind: Kind
    notices: list[Notice] = field(default_factory=list)


def sniff(data: bytes, name: str, input_format: InputFormat, parser: Parser = "auto") -> Sniffed:
    """Decide the kind; `input_format` and `parser` are what the caller asks for, or "auto".

    Raises DocumentError `empty_file`, `unsupported_format`, `corrupt_file`, `encrypted` or `archive_bomb`.
    """
    _refuse_empty(data)
    found = _recognise(data, name)
    if found is None and _may_be_mail(name, input_format, parser) and is_mail(data):
        refuse_sealed(data)
        found = "eml"
    kind = _as_read(_as_asked(found, name, input_format), name, parser)
    return Sniffed(kind, _mismatch(name, NAMES[found or "text"]))


def sniff_inline(data: bytes, name: str, input_format: InputFormat, parser: Parser = "auto") -> Sniffed:
    """The kind of a text that came with the job: text is text, whatever it begins with.

    Raises DocumentError `empty_file` or `unsupported_format`.
    """
    _refuse_empty(data)
    found: Kind | None = "html" if _is_html_by_name(data[:_SAMPLE], name) else None
    return Sniffed(_as_read(_as_asked(found, name, input_format), name, parser))


def suffix_of(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _refuse_empty(data: bytes) -> None:
    if not data:
        raise DocumentError("empty_file", "The document has no content: zero bytes.", stage="sniff")


def _recognise(data: bytes, name: str) -> Kind | None:
    """None for what is text, or nothing that is known."""
    if _is_pdf(data, name):
        return "pdf"
    if data.startswith(_ARCHIVES):
        kind, what = recognise_archive(data)
        if kind is not None:
            return kind
        raise _unsupported(f"This is {what}, which cannot be read; what can be read is {BUILT}.")
    _refuse_others(data)
    if data.startswith(_RICH_TEXT):
        return "rtf"
    return "html" if _is_html(data, name) else None


def _is_pdf(data: bytes, name: str) -> bool:
    if data.startswith(b"%PDF-"):
        return True
    # Some writers put bytes before the header; a text that merely speaks about PDF has the word there too.
    return b"%PDF-" in data[:1024] and (suffix_of(name) == ".pdf" or b"startxref" in data[-2048:])


def _is_html(data: bytes, name: str) -> bool:
    sample = data[: 2 * _SAMPLE]
    if sample.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        sample = sample[2:].replace(b"\0", b"")
    sample = sample.removeprefix(codecs.BOM_UTF8)[:_SAMPLE]
    return bool(_HTML.match(sample)) or _is_html_by_name(sample, name)


def _is_html_by_name(sample: bytes, name: str) -> bool:
    return suffix_of(name) in _HTML_SUFFIXES and bool(_TAG.search(sample))


def _may_be_mail(name: str, input_format: InputFormat, parser: Parser) -> bool:
    """A text that looks like a message is one only by its name, and a message is text for who wants it so."""
    if input_format == "auto":
        return suffix_of(name) == ".eml" and "eml" in READS[parser]
    return input_format == "eml"


def _refuse_others(data: bytes) -> None:
    if data.startswith(_OLD_OFFICE) and _LOCKED in data:
        message = "The office document is encrypted; only PDFs are opened by 'password'. Save it without one."
        raise DocumentError("encrypted", message, stage="sniff")
    found = next((what for signature, what in _OTHERS if data.startswith(signature)), None)
    if found is not None:
        raise _unsupported(f"This is {found}, which cannot be read; what can be read is {BUILT}.")


def _as_asked(found: Kind | None, name: str, input_format: InputFormat) -> Kind:
    if input_format == "auto":
        return found or _kind_of_text(name)
    if input_format in BINARY and found != input_format:
        message = f"This is not {NAMES[input_format]}, although input_format says so; it may be damaged."
        raise DocumentError("corrupt_file", message, stage="sniff")
    if found in BINARY and found != input_format:
        what = NAMES[found]
        raise _unsupported(f"This is {what}, but input_format says '{input_format}'; 'auto' would read it.")
    return input_format


def _as_read(kind: Kind, name: str, parser: Parser) -> Kind:
    """The kind as which `parser` reads it: that of text shows the source of a page."""
    if kind not in READS[parser]:
        raise _unsupported(f"This is {NAMES[kind]}, which the parser '{parser}' cannot read; 'auto' would.")
    if (kind in EXTRA or parser == "xberg") and not extra_is_there():
        raise _unsupported(f"This is {NAMES[kind]}, which is read only where the extra 'formats' is installed.")
    return _kind_of_text(name) if parser == "text" and kind == "html" else kind


def _unsupported(message: str) -> DocumentError:
    return DocumentError("unsupported_format", message, stage="sniff")


def _kind_of_text(name: str) -> Kind:
    return "markdown" if suffix_of(name) in _MARKDOWN else "text"


def _mismatch(name: str, content: str) -> list[Notice]:
    if _PROMISES.get(suffix_of(name), content) == content:
        return []
    return [Notice("extension_mismatch", f"The name ends in {suffix_of(name)}, but the content is {content}.")]

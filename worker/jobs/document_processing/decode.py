"""Bytes to text: byte order mark, then strict UTF-8, then a guess. And text to the normal form."""

from __future__ import annotations

import codecs
import unicodedata
from dataclasses import dataclass, field

from worker.jobs.document_processing.charset import text_encoding
from worker.jobs.document_processing.errors import DocumentError
from worker.jobs.document_processing.parsed import Notice

SAMPLE = 8192
# The mark of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CONTROL_BYTES = bytes(value for value in range(32) if value not in b"\b\t\n\v\f\r\x1b") + b"\x7f"
_ASCII = bytes(range(128))
_CONTROLS = dict.fromkeys(_CONTROL_BYTES)
# Detector and pages speak the names of the web, which mean the larger sets of Windows and lack some names of Python.
_WEB_NAMES = {
    "ascii": "cp1252",
    "us-ascii": "cp1252",
    "iso-8859-1": "cp1252",
    "latin1": "cp1252",
    "iso-8859-8-i": "iso8859_8",
    "iso-8859-9": "cp1254",
    "windows-874": "cp874",
    "x-mac-cyrillic": "mac_cyrillic",
    "shift_jis": "cp932",
    "euc-kr": "cp949",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "big5": "big5hkscs",
    # A page that says so in single bytes is not.
    "utf-16": "utf-8",
    "utf-16le": "utf-8",
    "utf-16be": "utf-8",
}
# One damaged place in a long UTF-8 file must not turn all of it into another encoding.
_GOOD_PER_BAD = 4


@dataclass(frozen=True, slots=True)
class Decoded:
    text: str
    encoding: str
    notices: list[Notice] = field(default_factory=list)


def decode(data: bytes, encoding: str | None, declared: str | None = None) -> Decoded:
    """The text in the normal form, with the name of the encoding that was used.

    `encoding` is the caller's word and holds; `declared` is the document's own and may be wrong.
    Raises DocumentError `binary_content`.
    """
    mark, marked = next((pair for pair in _MARKS if data.startswith(pair[0])), (b"", None))
    if encoding is not None:
        decoded = _decode(data, encoding)
    elif marked is not None:
        decoded = _decode(data[len(mark) :], marked)
    else:
        _refuse_binary(data[:SAMPLE])
        decoded = _as_declared(data, declared) or _without_mark(data)
    _refuse_control_characters(decoded.text[:SAMPLE])
    return Decoded(normalise(decoded.text), decoded.encoding, decoded.notices)


def normalise(text: str) -> str:
    """NFC, `\\n` line ends, no byte order mark in front, and nothing that UTF-8 cannot hold."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    return unicodedata.normalize("NFC", text.encode("utf-8", "replace").decode("utf-8"))


def _as_declared(data: bytes, label: str | None) -> Decoded | None:
    """None when there is no such encoding, or when it does not fit."""
    encoding = text_encoding(_WEB_NAMES.get(label.lower(), label)) if label is not None else None
    try:
        return Decoded(data.decode(encoding), encoding) if encoding is not None else None
    except UnicodeError:
        return None


def _without_mark(data: bytes) -> Decoded:
    try:
        return Decoded(data.decode("utf-8"), "utf-8")
    except UnicodeDecodeError:
        pass
    repaired = data.decode("utf-8", "replace")
    bad = repaired.count("\ufffd")
    good = len(data.translate(None, _ASCII)) - bad
    if good > _GOOD_PER_BAD * bad:
        return Decoded(repaired, "utf-8", [_decode_errors(bad, "utf-8")])
    return _decode(data, _guess(data))


def _guess(data: bytes) -> str:
    from chardetng_py import EncodingDetector

    detector = EncodingDetector()
    detector.feed(data, last=True)
    name = detector.guess(tld=None, allow_utf8=False)
    return codecs.lookup(_WEB_NAMES.get(name.lower(), name)).name


def _decode(data: bytes, encoding: str) -> Decoded:
    try:
        return Decoded(data.decode(encoding), encoding)
    except UnicodeDecodeError:
        text = data.decode(encoding, "replace")
    return Decoded(text, encoding, [_decode_errors(text.count("\ufffd"), encoding)])


def _decode_errors(count: int, encoding: str) -> Notice:
    message = f"{count} places could not be read as {encoding} and were replaced by a question mark sign (U+FFFD)."
    return Notice("decode_errors", message, count)


def _refuse_binary(sample: bytes) -> None:
    if b"\0" in sample or 10 * (len(sample) - len(sample.translate(None, _CONTROL_BYTES))) > len(sample):
        raise _binary()


def _refuse_control_characters(sample: str) -> None:
    if 10 * (len(sample) - len(sample.translate(_CONTROLS))) > len(sample):
        raise _binary()


def _binary() -> DocumentError:
    message = "This is not text: it has NUL bytes or many control characters. If it is, name its 'encoding'."
    return DocumentError("binary_content", message, stage="sniff")

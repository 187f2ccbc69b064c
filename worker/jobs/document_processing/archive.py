"""A look at a ZIP archive before anything in it is unpacked: is it sound, is it a bomb, what is it?"""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib
from typing import Final

from worker.jobs.document_processing.errors import DocumentError
from worker.jobs.document_processing.formats import NAMES, Kind

_MAX_ENTRIES = 5000
_MAX_UNPACKED_BYTES = 200_000_000
# Real documents are at 14 and below.
_MAX_RATIO = 200
_ENTRY = b"PK\x01\x02"
_LOCKED = 0x1
_SAMPLE = 1_000_000
_BY_MIMETYPE: Final[tuple[tuple[bytes, Kind | None, str], ...]] = (
    (b"application/epub", "epub", NAMES["epub"]),
    (b"opendocument.text", "odt", NAMES["odt"]),
    (b"opendocument", None, "an OpenDocument file, and no text"),
)
_BY_CONTENT_TYPE: Final[tuple[tuple[re.Pattern[bytes], Kind | None, str], ...]] = (
    (re.compile(b"wordprocessingml|ms-word"), "docx", NAMES["docx"]),
    (re.compile(b"ms-excel.sheet.binary"), None, "a binary Excel workbook"),
    (re.compile(b"spreadsheetml|ms-excel"), "xlsx", NAMES["xlsx"]),
    (re.compile(b"presentationml|ms-powerpoint"), "pptx", NAMES["pptx"]),
)
# Fonts of a book may be ciphered while its text is not.
_CIPHERED = (("META-INF/manifest.xml", rb"encryption-data"), ("META-INF/encryption.xml", rb"URI\s*=[^<>]*html"))
_CONTENT_TYPE = re.compile(rb"""ContentType\s*=\s*["']([^"'<>]*)""")

# What zipfile raises for damaged archives.
DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, LookupError, RuntimeError)


def recognise_archive(data: bytes) -> tuple[Kind | None, str]:
    """The kind of document, if it is one that can be read, and a few words for people on what it is.

    Raises DocumentError `corrupt_file`, `encrypted` or `archive_bomb`.
    """
    # Counted before the directory is read: a list of a million entries is a bomb of its own.
    if data.count(_ENTRY) > _MAX_ENTRIES:
        raise _bomb(f"more than {_MAX_ENTRIES:,} entries")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            _check_entries(archive.infolist())
            _check_ciphers(archive)
            return _name(_begin(archive, "[Content_Types].xml"), _begin(archive, "mimetype"))
    except DAMAGE:
        message = "The document is damaged: its ZIP archive is cut short or broken. Save or copy it again."
        raise DocumentError("corrupt_file", message, stage="sniff") from None


def _check_entries(entries: list[zipfile.ZipInfo]) -> None:
    """The sizes are those that the archive claims; the reader never unpacks more than that."""
    if any(entry.flag_bits & _LOCKED for entry in entries):
        raise _encrypted()
    if sum(entry.file_size for entry in entries) > _MAX_UNPACKED_BYTES:
        raise _bomb(f"more than {_MAX_UNPACKED_BYTES // 1_000_000} MB")
    if any(entry.file_size > _MAX_RATIO * max(entry.compress_size, 1) for entry in entries):
        raise _bomb(f"an entry of more than {_MAX_RATIO} times its packed size")


def _check_ciphers(archive: zipfile.ZipFile) -> None:
    """OpenDocument and EPUB cipher what is in the entries, and tell of it in another one."""
    if any(re.search(words, _begin(archive, name)) for name, words in _CIPHERED):
        raise _encrypted()


def _encrypted() -> DocumentError:
    message = "The archive is encrypted, and archives with a password are not read. Save it without one."
    return DocumentError("encrypted", message, stage="sniff")


def _bomb(what: str) -> DocumentError:
    message = f"The archive would unpack to {what}, which no real document does; it was not opened."
    return DocumentError("archive_bomb", message, stage="sniff")


def _begin(archive: zipfile.ZipFile, name: str) -> bytes:
    if name not in archive.namelist():
        return b""
    with archive.open(name) as entry:
        # Without the NUL bytes, UTF-16 reads like ASCII.
        return entry.read(_SAMPLE).replace(b"\0", b"")


def _name(content_types: bytes, mimetype: bytes) -> tuple[Kind | None, str]:
    # Other kinds of documents may be embedded in it.
    main = [kind for kind in _CONTENT_TYPE.findall(content_types) if kind.endswith((b".main+xml", b".main"))]
    told = b" ".join(main) or content_types
    known = [(kind, what) for words, kind, what in _BY_CONTENT_TYPE if words.search(told)]
    known += [(kind, what) for word, kind, what in _BY_MIMETYPE if word in mimetype]
    return known[0] if known else (None, "a ZIP archive")

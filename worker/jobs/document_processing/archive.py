"""A look at a ZIP archive before anything in it is unpacked: is it sound, is it a bomb, what is it?"""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib

from worker.jobs.document_processing.errors import DocumentError

_MAX_ENTRIES = 5000
_MAX_UNPACKED_BYTES = 200_000_000
# Real documents are at 14 and below.
_MAX_RATIO = 200
_ENTRY = b"PK\x01\x02"
_LOCKED = 0x1
_SAMPLE = 1_000_000
_BY_MIMETYPE = ((b"application/epub", "an EPUB book"), (b"opendocument", "an OpenDocument file"))
WORD = "a Word document"
_BY_CONTENT_TYPE = (
    (re.compile(b"wordprocessingml|ms-word"), WORD),
    (re.compile(b"spreadsheetml|ms-excel"), "an Excel workbook"),
    (re.compile(b"presentationml|ms-powerpoint"), "a PowerPoint presentation"),
)
_CONTENT_TYPE = re.compile(rb"""ContentType\s*=\s*["']([^"'<>]*)""")

# What zipfile raises for damaged archives.
DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, LookupError, RuntimeError)


def recognise_archive(data: bytes) -> str:
    """`WORD`, or a few words for people on what else it is.

    Raises DocumentError `corrupt_file`, `encrypted` or `archive_bomb`.
    """
    # Counted before the directory is read: a list of a million entries is a bomb of its own.
    if data.count(_ENTRY) > _MAX_ENTRIES:
        raise _bomb(f"more than {_MAX_ENTRIES:,} entries")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            _check_entries(archive.infolist())
            return _name(_begin(archive, "[Content_Types].xml"), _begin(archive, "mimetype"))
    except DAMAGE:
        message = "The document is damaged: its ZIP archive is cut short or broken. Save or copy it again."
        raise DocumentError("corrupt_file", message, stage="sniff") from None


def _check_entries(entries: list[zipfile.ZipInfo]) -> None:
    """The sizes are those that the archive claims; the reader never unpacks more than that."""
    if any(entry.flag_bits & _LOCKED for entry in entries):
        message = "The archive is encrypted, and archives with a password are not read. Save it without one."
        raise DocumentError("encrypted", message, stage="sniff")
    if sum(entry.file_size for entry in entries) > _MAX_UNPACKED_BYTES:
        raise _bomb(f"more than {_MAX_UNPACKED_BYTES // 1_000_000} MB")
    if any(entry.file_size > _MAX_RATIO * max(entry.compress_size, 1) for entry in entries):
        raise _bomb(f"an entry of more than {_MAX_RATIO} times its packed size")


def _bomb(what: str) -> DocumentError:
    message = f"The archive would unpack to {what}, which no real document does; it was not opened."
    return DocumentError("archive_bomb", message, stage="sniff")


def _begin(archive: zipfile.ZipFile, name: str) -> bytes:
    if name not in archive.namelist():
        return b""
    with archive.open(name) as entry:
        # Without the NUL bytes, UTF-16 reads like ASCII.
        return entry.read(_SAMPLE).replace(b"\0", b"")


def _name(content_types: bytes, mimetype: bytes) -> str:
    # Other kinds of documents may be embedded in it.
    main = [kind for kind in _CONTENT_TYPE.findall(content_types) if kind.endswith((b".main+xml", b".main"))]
    told = b" ".join(main) or content_types
    known = [what for words, what in _BY_CONTENT_TYPE if words.search(told)]
    known += [what for word, what in _BY_MIMETYPE if word in mimetype]
    return known[0] if known else "a ZIP archive"

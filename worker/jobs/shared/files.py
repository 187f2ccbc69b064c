"""Files of records, one JSON object a line, that know their own size and hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import orjson

Record = dict[str, object]
# They end a line for some readers, although JSON allows them inside a string.
_LINE_ENDS = {"\u2028".encode(): b"\\u2028", "\u2029".encode(): b"\\u2029", "\x85".encode(): b"\\u0085"}
_BLOCK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class FileEntry:
    """What a manifest tells of a file. `path` is relative to the job's folder; `records`: lines, or 1."""

    path: str
    bytes: int
    sha256: str
    records: int


class JsonLines:
    """A growing file of one JSON object a line."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self._bytes = self._records = 0

    def add(self, record: Mapping[str, object]) -> None:
        self.add_all([record])

    def add_all(self, records: Iterable[Mapping[str, object]]) -> None:
        lines = [json_line(record) for record in records]
        self._write(lines)
        self._records += len(lines)

    def add_lines(self, lines: bytes, records: int) -> None:
        self._write([lines])
        self._records += records

    def add_file(self, file: Path, records: int) -> None:
        with file.open("rb") as source:
            self._write(iter(partial(source.read, _BLOCK), b""))
        self._records += records

    def entry(self) -> FileEntry:
        return FileEntry(self._file.name, self._bytes, self._hash.hexdigest(), self._records)

    def _write(self, blocks: Iterable[bytes]) -> None:
        # Opened anew each time: what does not fit is told here and not at some later closing.
        with self._file.open("ab") as file:
            for block in blocks:
                file.write(block)
                self._hash.update(block)
                self._bytes += len(block)


def entry_of(file: Path, name: str, records: int = 1) -> FileEntry:
    """Of a file that is complete. `name`: under which it will be published."""
    with file.open("rb") as source:
        digest = hashlib.file_digest(source, "sha256").hexdigest()
    return FileEntry(name, file.stat().st_size, digest, records)


def json_line(record: Mapping[str, object]) -> bytes:
    try:
        line = orjson.dumps(record)
    except TypeError:
        line = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    for character, escape in _LINE_ENDS.items():
        line = line.replace(character, escape)
    return line + b"\n"


def json_file(value: object) -> bytes:
    """A whole file for people and programs."""
    return json.dumps(value, ensure_ascii=False, indent=2).encode("utf-8") + b"\n"

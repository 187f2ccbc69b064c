"""The files of the job: `documents.jsonl`, `chunks.jsonl`, `text/*.md` and, last, `manifest.json`.

They grow in the execution's own folder and get their place when all of them are complete.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from worker.jobs.document_processing.record import Record, json_line
from worker.jobs.document_processing.workspace import CHUNKS, DOCUMENTS, MANIFEST, TEXTS, publish, storing

_DOCUMENT = "document"
_BLOCK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class FileEntry:
    """`path` is relative to the job's folder."""

    path: str
    bytes: int
    sha256: str
    records: int


class JsonLines:
    """A growing file of one JSON object a line, that knows its own size and hash."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self._bytes = self._records = 0

    def add(self, record: Record) -> None:
        self._write([json_line(record)])
        self._records += 1

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


class Artefacts:
    """Collects what the document processes deliver. All methods raise StorageError."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._documents = JsonLines(work / DOCUMENTS)
        self._chunks = JsonLines(work / CHUNKS)
        self._texts: list[FileEntry] = []

    def open(self) -> None:
        with storing():
            (self._work / _DOCUMENT).mkdir()
            (self._work / TEXTS).mkdir()
            (self._work / CHUNKS).touch()

    def work_file(self, index: int, kind: str) -> Path:
        return self._work / _DOCUMENT / f"{index:04d}.{kind}"

    def take(self, index: int, record: Record) -> None:
        """Note the document, and take over its text and chunks if it has any."""
        with storing():
            self._documents.add(record)
            if record["status"] == "completed":
                self._chunks.add_file(self.work_file(index, "chunks"), int(str(record["chunks"])))
                self._texts.append(self._take_text(self.work_file(index, "text"), str(record["text_file"])))
            for file in (self._work / _DOCUMENT).iterdir():
                file.unlink()

    def entries(self) -> list[FileEntry]:
        return [self._documents.entry(), self._chunks.entry(), *self._texts]

    def publish(self, manifest: dict[str, object]) -> None:
        text = json.dumps(manifest, ensure_ascii=False, indent=2) + "\n"
        with storing():
            (self._work / MANIFEST).write_text(text, "utf-8")
        publish(self._work)

    def _take_text(self, file: Path, name: str) -> FileEntry:
        with file.open("rb") as source:
            digest = hashlib.file_digest(source, "sha256").hexdigest()
        entry = FileEntry(name, file.stat().st_size, digest, records=1)
        file.replace(self._work / name)
        return entry

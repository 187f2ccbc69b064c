"""The files of the job: `documents.jsonl`, `chunks.jsonl`, `text/*.md` and, last, `manifest.json`.

A file has its name only when it is complete: until then it is called `name.partial`, or lies in `work.partial/`.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from worker.jobs.document_processing.record import Record, json_line

DOCUMENTS = "documents.jsonl"
CHUNKS = "chunks.jsonl"
MANIFEST = "manifest.json"
TEXTS = "text"
_WORK = "work.partial"
_BLOCK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class FileEntry:
    """`path` is relative to the job's folder."""

    path: str
    bytes: int
    sha256: str
    records: int


def clear(folder: Path) -> None:
    """Remove what an earlier attempt left, finished or not."""
    for name in (DOCUMENTS, CHUNKS, MANIFEST):
        (folder / name).unlink(missing_ok=True)
        (folder / f"{name}.partial").unlink(missing_ok=True)
    for name in (TEXTS, _WORK):
        shutil.rmtree(folder / name, ignore_errors=True)


class JsonLines:
    """A growing file of one JSON object a line, that knows its own size and hash."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._file = (folder / f"{name}.partial").open("wb")
        self._hash = hashlib.sha256()
        self._bytes = self._records = 0

    def add(self, record: Record) -> None:
        self._write(json_line(record))
        self._records += 1

    def add_file(self, file: Path, records: int) -> None:
        with file.open("rb") as source:
            while block := source.read(_BLOCK):
                self._write(block)
        self._records += records

    def finish(self) -> FileEntry:
        self.close()
        _publish(self._folder, self._name)
        return FileEntry(self._name, self._bytes, self._hash.hexdigest(), self._records)

    def close(self) -> None:
        self._file.close()

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._hash.update(data)
        self._bytes += len(data)


class Artefacts:
    """Collects what the document processes deliver. Leaving the `with` block removes the working files."""

    def __init__(self, folder: Path) -> None:
        clear(folder)
        self._folder = folder
        self._work = folder / _WORK
        self._work.mkdir()
        (folder / TEXTS).mkdir()
        self._documents = JsonLines(folder, DOCUMENTS)
        self._chunks = JsonLines(folder, CHUNKS)
        self._texts: list[FileEntry] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._documents.close()
        self._chunks.close()
        shutil.rmtree(self._work, ignore_errors=True)

    def work_file(self, index: int, kind: str) -> Path:
        return self._work / f"{index:04d}.{kind}"

    def take(self, index: int, record: Record) -> None:
        """Note the document, and take over its text and chunks if it has any."""
        self._documents.add(record)
        if record["status"] == "completed":
            self._chunks.add_file(self.work_file(index, "chunks"), int(str(record["chunks"])))
            self._texts.append(self._take_text(self.work_file(index, "text"), str(record["text_file"])))
        for file in self._work.iterdir():
            file.unlink()

    def finish(self) -> list[FileEntry]:
        return [self._documents.finish(), self._chunks.finish(), *self._texts]

    def write_manifest(self, manifest: dict[str, object]) -> None:
        text = json.dumps(manifest, ensure_ascii=False, indent=2) + "\n"
        (self._folder / f"{MANIFEST}.partial").write_text(text, "utf-8")
        _publish(self._folder, MANIFEST)

    def _take_text(self, file: Path, name: str) -> FileEntry:
        with file.open("rb") as source:
            digest = hashlib.file_digest(source, "sha256").hexdigest()
        entry = FileEntry(name, file.stat().st_size, digest, records=1)
        file.replace(self._folder / name)
        return entry


def _publish(folder: Path, name: str) -> None:
    (folder / f"{name}.partial").replace(folder / name)

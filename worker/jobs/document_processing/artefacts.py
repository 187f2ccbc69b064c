"""The files of the job: `documents.jsonl`, `chunks.jsonl`, `text/*.md` and, last, `manifest.json`.

They grow in the execution's own folder and get their place when all of them are complete.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from worker.jobs.shared.files import FileEntry, JsonLines, Record, entry_of, json_file
from worker.jobs.shared.workspace import MANIFEST, publish, storing

DOCUMENTS: Final = "documents.jsonl"
CHUNKS: Final = "chunks.jsonl"
TEXTS: Final = "text"
PUBLISHED: Final = (DOCUMENTS, CHUNKS, TEXTS)
_DOCUMENT = "document"


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
        with storing():
            (self._work / MANIFEST).write_bytes(json_file(manifest))
        publish(self._work, PUBLISHED)

    def _take_text(self, file: Path, name: str) -> FileEntry:
        entry = entry_of(file, name)
        file.replace(self._work / name)
        return entry

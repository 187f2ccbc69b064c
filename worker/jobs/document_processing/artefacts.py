"""The files of the job: `documents.jsonl`, `chunks.jsonl`, `text/*.md` and, last, `manifest.json`.

They grow in the execution's own folder and get their place when all of them are complete.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from worker.jobs.document_processing.marks import Marks
from worker.jobs.document_processing.record import text_name
from worker.jobs.shared.files import FileEntry, JsonLines, Record, entry_of
from worker.jobs.shared.workspace import publish, storing

DOCUMENTS: Final = "documents.jsonl"
CHUNKS: Final = "chunks.jsonl"
TEXTS: Final = "text"
PUBLISHED: Final = (DOCUMENTS, CHUNKS, TEXTS)
# Finished parses, which a later execution of the job may take over.
PARSED: Final = "parsed"
_DOCUMENT, _MARKS, _LINES, _TOPICS = "document", "marks", "lines", "topics"


class Artefacts:
    """Collects what the stages deliver. All methods raise StorageError."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._documents = JsonLines(work / DOCUMENTS)
        self._chunks = JsonLines(work / CHUNKS)
        self._texts: list[FileEntry] = []
        self.parsed = work / PARSED
        self.topics = work / _TOPICS

    def open(self) -> None:
        with storing():
            for name in (_DOCUMENT, _MARKS, _LINES, TEXTS):
                (self._work / name).mkdir()
            (self._work / CHUNKS).touch()

    def work_file(self, index: int, kind: str) -> Path:
        """Of the document that is being worked on; `clear` removes it."""
        return self._work / _DOCUMENT / f"{index:04d}.{kind}"

    def clear(self, index: int) -> None:
        with storing():
            for file in (self._work / _DOCUMENT).glob(f"{index:04d}.*"):
                file.unlink()

    def marks_file(self, record: Record) -> Path:
        return self._work / _MARKS / f"{record['document_id']}.json"

    def lines_file(self, record: Record) -> Path:
        return self._work / _LINES / str(record["document_id"])

    def text_file(self, record: Record) -> Path:
        return self._work / text_name(record["document_id"])

    def take_chunks(self, index: int, record: Record) -> None:
        """Of a document that is completed: its chunks and its text."""
        with storing():
            self._chunks.add_file(self.work_file(index, "chunks"), int(str(record["chunks"])))
            self._texts.append(entry_of(self.text_file(record), text_name(record["document_id"])))

    def add_documents(self, records: Iterable[Record]) -> None:
        """Note all of them; only the texts of completed ones stay."""
        with storing():
            for record in records:
                if record["status"] == "completed":
                    self._documents.add(record | Marks.load(self.marks_file(record)).to_record())
                else:
                    self.text_file(record).unlink(missing_ok=True)
                    self._documents.add(record)

    def entries(self) -> list[FileEntry]:
        return [self._documents.entry(), self._chunks.entry(), *self._texts]

    def publish(self, manifest: dict[str, object]) -> None:
        publish(self._work, PUBLISHED, manifest)

"""`errors.jsonl`: the texts of which nothing was made because asking the model failed. Mode `llm` only."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from worker.jobs.shared.files import FileEntry, JsonLines, Record
from worker.jobs.shared.workspace import storing

ERRORS: Final = "errors.jsonl"
# In the result; the file has all.
_MOST_TOLD: Final = 50
_BATCH: Final = 500


class Failures:
    """`first`: for the result. Raises StorageError."""

    def __init__(self, work: Path) -> None:
        with storing():
            (work / ERRORS).touch()
        self._lines = JsonLines(work / ERRORS)
        self._waiting: list[Record] = []
        self.first: list[Record] = []
        self.count = 0

    def add(self, error: Record) -> None:
        self.count += 1
        if len(self.first) < _MOST_TOLD:
            self.first.append(error)
        self._waiting.append(error)
        if len(self._waiting) == _BATCH:
            self._flush()

    def entry(self) -> FileEntry:
        """When nothing more comes."""
        self._flush()
        return self._lines.entry()

    def _flush(self) -> None:
        with storing():
            self._lines.add_all(self._waiting)
        self._waiting = []

"""`errors.jsonl`: the items of a job that failed while the job went on."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from worker.jobs.shared.files import FileEntry, JsonLines, Record, json_line
from worker.jobs.shared.workspace import storing

ERRORS: Final = "errors.jsonl"
# In the result; the file has all.
_MOST_TOLD: Final = 50
_MOST_TOLD_BYTES: Final = 20_000


class Failures:
    """`first`: for the result. Raises StorageError."""

    def __init__(self, work: Path) -> None:
        with storing():
            (work / ERRORS).touch()
        self._lines = JsonLines(work / ERRORS)
        self.first: list[Record] = []
        self._told_bytes = 0
        self.count = 0

    def add(self, error: Record) -> None:
        self.count += 1
        line = json_line(error)
        # Ids of chunks may be long.
        if len(self.first) < _MOST_TOLD and self._told_bytes + len(line) <= _MOST_TOLD_BYTES:
            self.first.append(error)
            self._told_bytes += len(line)
        with storing():
            self._lines.add(error)

    def entry(self) -> FileEntry:
        """When nothing more comes."""
        return self._lines.entry()

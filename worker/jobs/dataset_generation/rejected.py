"""`rejected.jsonl`: what was dropped, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from worker.jobs.dataset_generation.check import REASONS, Reason
from worker.jobs.shared.files import FileEntry, JsonLines, Record
from worker.jobs.shared.workspace import storing

REJECTED: Final = "rejected.jsonl"
_BATCH: Final = 500


class Rejected:
    """Raises StorageError."""

    def __init__(self, work: Path) -> None:
        with storing():
            (work / REJECTED).touch()
        self._lines = JsonLines(work / REJECTED)
        self._waiting: list[Record] = []
        self._counts: Counter[str] = Counter()

    def add(self, reason: Reason, document_id: str, chunk_id: str, task: str, record: Record) -> None:
        self._counts[reason] += 1
        self._waiting.append(rejection(reason, document_id, chunk_id, task, record))
        if len(self._waiting) == _BATCH:
            self._flush()

    def add_lines(self, lines: bytes, counts: Mapping[str, int]) -> None:
        """`lines`: as `rejection` makes them; `counts`: of them, by reason."""
        self._counts.update(counts)
        self._flush()
        with storing():
            self._lines.add_lines(lines, sum(counts.values()))

    def counts(self) -> dict[str, int]:
        """By reason; all reasons, also those that nothing was dropped for."""
        return {reason: self._counts[reason] for reason in REASONS}

    def entry(self) -> FileEntry:
        """When nothing more comes."""
        self._flush()
        return self._lines.entry()

    def _flush(self) -> None:
        with storing():
            self._lines.add_all(self._waiting)
        self._waiting = []


def rejection(reason: Reason, document_id: str, chunk_id: str, task: str, record: Record) -> Record:
    return {"reason": reason, "document_id": document_id, "chunk_id": chunk_id, "task": task, "record": record}

"""What belongs to a text besides its characters: where its pages begin and where its headings stand."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from worker.jobs.document_processing.parsed import Heading, Parsed
from worker.jobs.shared.files import Record


@dataclass(frozen=True, slots=True)
class Marks:
    """Offsets count characters of the text. `page_starts` is None for what has no pages."""

    type: str
    page_starts: list[int] | None = None
    headings: list[Heading] = field(default_factory=list)

    @classmethod
    def of(cls, parsed: Parsed) -> Marks:
        return cls(parsed.type, parsed.page_starts, parsed.headings)

    @classmethod
    def from_record(cls, record: Record) -> Marks:
        """From a line of `documents.jsonl`. Raises TypeError and LookupError for what is none."""
        values: Any = record
        return cls(values["type"], values.get("page_starts"), [Heading(*row) for row in values.get("headings", [])])

    def to_record(self) -> Record:
        """The fields in which a line of `documents.jsonl` has them: a heading is [start, end, level, title]."""
        rows = [[heading.start, heading.end, heading.level, heading.title] for heading in self.headings]
        return {"type": self.type, "page_starts": self.page_starts, "headings": rows}

    def save(self, file: Path) -> None:
        file.write_text(json.dumps(self.to_record()), "utf-8")

    @classmethod
    def load(cls, file: Path) -> Marks:
        return cls.from_record(json.loads(file.read_text("utf-8")))

    def moved(self, place: Callable[[int], int]) -> Marks:
        """`place`: where an offset is in a changed text."""
        starts = None if self.page_starts is None else [place(start) for start in self.page_starts]
        headings = [replace(head, start=place(head.start), end=place(head.end)) for head in self.headings]
        return Marks(self.type, starts, headings)

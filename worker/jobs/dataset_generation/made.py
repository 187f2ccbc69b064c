"""What was made of some items, on its way from who has made it into the spool."""

from __future__ import annotations

from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import orjson

from worker.jobs.shared.workspace import storing


@dataclass(slots=True)
class Facts:
    """`documents`: of each item that something was made of, and `counts` how many records; the rest is of records.

    `focused`: the task of those that are about a part of a text, else None; `doubles`: places of those that say the
    same as an earlier one of their item; `refused`: how many others were, by reason.
    """

    documents: list[str] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    focused: list[str | None] = field(default_factory=list)
    doubles: list[int] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)
    texts: list[int] = field(default_factory=list)
    focuses: list[int] = field(default_factory=list)


class Made:
    """`sources`, `entries`, `rejected`: lines; `digests`: of the records; `texts` and `focuses`: shapes, in bytes, of
    which the facts tell the sizes."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.sources, self.entries, self.rejected = BytesIO(), BytesIO(), BytesIO()
        self.digests, self.texts, self.focuses = BytesIO(), BytesIO(), BytesIO()

    @property
    def _parts(self) -> list[BytesIO]:
        return [self.sources, self.entries, self.rejected, self.digests, self.texts, self.focuses]

    def save(self, file: Path) -> None:
        """Raises StorageError."""
        sizes = [part.tell() for part in self._parts]
        with storing(), file.open("wb") as opened:
            opened.write(orjson.dumps((self.facts, sizes), option=orjson.OPT_APPEND_NEWLINE))
            for part in self._parts:
                opened.write(part.getbuffer())

    @classmethod
    def load(cls, file: Path) -> Made:
        """Raises StorageError."""
        with storing(), file.open("rb") as opened:
            facts, sizes = orjson.loads(opened.readline())
            made = cls(Facts(**facts))
            for part, size in zip(made._parts, sizes, strict=True):
                part.write(opened.read(size))
        return made

"""What was found in which chunk, kept in a file: lines come in any order, and may be more than memory holds."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from worker.jobs.shared.errors import StorageError

_BATCH: Final = 5_000
_TABLE: Final = (
    "CREATE TABLE finding (number INTEGER PRIMARY KEY, chunk_id TEXT, document_id TEXT, category INTEGER, type TEXT,"
    " text TEXT, confidence REAL)"
)
_FIELDS: Final = "chunk_id, document_id, category, type, text, confidence"


class Category(NamedTuple):
    id: str
    path: tuple[str, ...]

    def is_below(self, tops: Sequence[tuple[str, ...]]) -> bool:
        return any(self.path[: len(top)] == top for top in tops)


class Finding(NamedTuple):
    """`category`: its number in `Findings.categories`; `text`: None when only the whole chunk is meant."""

    chunk_id: str
    document_id: str
    category: int
    type: str
    text: str | None
    confidence: float

    @property
    def is_text(self) -> bool:
        """False for entities and keywords."""
        return self.type == "whole_text"


class Findings:
    """All methods raise StorageError."""

    def __init__(self, file: Path) -> None:
        with _storing():
            self._base = sqlite3.connect(file, isolation_level=None)
            # The file is of no use to anybody after a crash.
            self._base.execute("PRAGMA journal_mode = OFF")
            self._base.execute("PRAGMA synchronous = OFF")
            self._base.execute(_TABLE)
        self.categories: list[Category] = []
        self._numbers: dict[Category, int] = {}

    def category(self, category: Category) -> int:
        """Its number, a new one when it was not met before."""
        number = self._numbers.setdefault(category, len(self.categories))
        if number == len(self.categories):
            self.categories.append(category)
        return number

    def add_all(self, findings: Iterable[Finding]) -> Iterator[int]:
        """Yields how many have been added, now and then."""
        findings, total = iter(findings), 0
        while batch := list(islice(findings, _BATCH)):
            with _storing():
                self._base.execute("BEGIN")
                self._base.executemany(f"INSERT INTO finding ({_FIELDS}) VALUES (?, ?, ?, ?, ?, ?)", batch)
                self._base.execute("COMMIT")
            total += len(batch)
            yield total

    def keep(self, categories: Iterable[int] | None) -> int:
        """Forget those of other categories, and make ready for reading. How many are left."""
        with _storing():
            if categories is not None:
                self._base.execute("CREATE TEMP TABLE wanted (category INTEGER PRIMARY KEY)")
                self._base.executemany("INSERT INTO wanted VALUES (?)", [(number,) for number in categories])
                self._base.execute("DELETE FROM finding WHERE category NOT IN (SELECT category FROM wanted)")
            self._base.execute("CREATE INDEX by_chunk ON finding (chunk_id, number)")
            (count,) = self._base.execute("SELECT count(*) FROM finding").fetchone()
        return int(count)

    def of(self, chunk_id: str) -> list[Finding]:
        with _storing():
            rows = self._base.execute(f"SELECT {_FIELDS} FROM finding WHERE chunk_id = ? ORDER BY number", (chunk_id,))
            return [Finding(*row) for row in rows]

    def chunk_ids(self) -> Iterator[str]:
        """In the order in which they were first met."""
        with _storing():
            rows = self._base.execute("SELECT chunk_id FROM finding GROUP BY chunk_id ORDER BY min(number)")
            for (chunk_id,) in rows:
                yield chunk_id

    def close(self) -> None:
        self._base.close()


@contextmanager
def _storing() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        message = f"The job's files cannot be stored: {error}. Nothing is wrong with the input."
        raise StorageError(message) from error

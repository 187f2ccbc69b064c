"""What the parts of the job hand to each other, and the seam at which a category comes to a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Chunk:
    """`offset`: where `text` begins in its document; None for chunks that do not tell their place."""

    chunk_id: str
    document_id: str
    text: str
    offset: int | None


@dataclass(frozen=True, slots=True)
class Span:
    """`text[start:end]` of a chunk. `category`: its number among the categories; `margin`: how much larger its
    confidence is than that of the best of the categories beside it, 1 when there is none."""

    category: int
    start: int
    end: int
    confidence: float
    margin: float
    method: str


@dataclass(slots=True)
class Labels:
    """Of one chunk: its spans, best first, and all categories that pass in it, whether or not they were asked for.
    `failed`: nothing is known of it."""

    spans: list[Span] = field(default_factory=list)
    passing: frozenset[int] = frozenset()
    failed: bool = False


class Labeller(Protocol):
    """Finds out which parts of chunks speak of which categories; thresholds, depth and selection are its matter."""

    def label(self, chunks: Sequence[Chunk]) -> list[Labels]:
        """One for each chunk, in order."""
        ...

"""The lines of `extractions.jsonl`: places made to places in the document, and what was found twice left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from worker.jobs.extraction.categories import Category
from worker.jobs.extraction.model import Chunk
from worker.jobs.shared.files import Record


class Finding(NamedTuple):
    """`text[start:end]` of a chunk. `category`: None for entities that a pattern found; `type`: "whole_text",
    "keyword" or the pattern's name; `validated`: None when nobody looked."""

    category: int | None
    type: str
    start: int
    end: int
    confidence: float
    method: str
    validated: bool | None


class Lines:
    """Makes lines of findings, in the order of the chunks.

    Chunks may overlap. What lies in a document where the same was found in an earlier chunk, or inside of it, is left
    out.
    """

    def __init__(self, categories: Sequence[Category]) -> None:
        self._categories = categories
        self._document = ""
        self._earlier: dict[str, list[tuple[int, int]]] = {}

    def of(self, chunk: Chunk, findings: Sequence[Finding]) -> list[Record]:
        if chunk.document_id != self._document:
            self._document, self._earlier = chunk.document_id, {}
        if chunk.offset is not None:
            findings = self._new_ones(chunk.offset, findings)
        return [self._line(chunk, number, finding) for number, finding in enumerate(findings)]

    def _new_ones(self, offset: int, findings: Sequence[Finding]) -> list[Finding]:
        # What ends before this chunk begins is met no more.
        for key, places in self._earlier.items():
            self._earlier[key] = [place for place in places if place[1] > offset]
        new = [finding for finding in findings if not self._is_known(offset, finding)]
        for finding in new:
            places = self._earlier.setdefault(self._key(finding), [])
            places.append((offset + finding.start, offset + finding.end))
        return new

    def _is_known(self, offset: int, finding: Finding) -> bool:
        start, end = offset + finding.start, offset + finding.end
        return any(low <= start and end <= high for low, high in self._earlier.get(self._key(finding), ()))

    def _key(self, finding: Finding) -> str:
        return f"{finding.type}:{self._id(finding)}"

    def _id(self, finding: Finding) -> str:
        return f"entity:{finding.type}" if finding.category is None else self._categories[finding.category].id

    def _line(self, chunk: Chunk, number: int, finding: Finding) -> Record:
        category = None if finding.category is None else self._categories[finding.category]
        return {
            "extraction_id": f"{chunk.chunk_id}:{finding.type}:{number}",
            "chunk_id": chunk.chunk_id,
            "document_id": chunk.document_id,
            "category_id": self._id(finding),
            "category_path": [finding.type] if category is None else list(category.path),
            "type": finding.type,
            "text": chunk.text[finding.start : finding.end],
            "start": (chunk.offset or 0) + finding.start,
            "end": (chunk.offset or 0) + finding.end,
            "confidence": round(finding.confidence, 4),
            "method": finding.method,
            "validated": finding.validated,
        }


class Totals:
    """What the result tells of all lines."""

    def __init__(self) -> None:
        self.results = self.chunks = self.validated = self.failed = 0
        self.by_category: Counter[str] = Counter()
        self.by_type: Counter[str] = Counter()
        self._confidence = 0.0

    def add(self, lines: Sequence[Record]) -> None:
        """The lines of one chunk."""
        self.chunks += bool(lines)
        self.results += len(lines)
        for line in lines:
            self.by_category["/".join(_texts(line["category_path"]))] += 1
            self.by_type[str(line["type"])] += 1
            self.validated += line["validated"] is True
            self._confidence += float(str(line["confidence"]))

    @property
    def mean_confidence(self) -> float:
        return round(self._confidence / self.results, 4) if self.results else 0.0


def _texts(value: object) -> Iterator[str]:
    return map(str, value) if isinstance(value, list) else iter(())

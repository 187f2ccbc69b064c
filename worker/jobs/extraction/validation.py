"""The second look, offline: does a word of the category occur, or is the category far ahead of those beside it?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from worker.jobs.extraction.categories import Category
from worker.jobs.extraction.keywords import Keywords
from worker.jobs.extraction.model import Chunk, Span

# Of confidence, over the runner-up.
MARGIN: Final = 0.5


class Validation:
    def __init__(self, categories: Sequence[Category]) -> None:
        self._keywords = Keywords([category.terms for category in categories], is_fuzzy=False)

    def check(self, chunk: Chunk, spans: Sequence[Span]) -> list[bool]:
        """Whether each is confirmed."""
        hits = self._keywords.find(chunk.text) if spans else []
        return [
            span.margin >= MARGIN
            or any(hit.category == span.category and span.start <= hit.start and hit.end <= span.end for hit in hits)
            for span in spans
        ]

"""Entities of a chunk: the categories' keywords, and what has the form of a pattern."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from worker.jobs.extraction.categories import Category
from worker.jobs.extraction.findings import Finding
from worker.jobs.extraction.keywords import Keywords
from worker.jobs.extraction.model import Chunk
from worker.jobs.extraction.parameters import Parameters
from worker.jobs.extraction.patterns import Patterns


class Entities:
    """Raises PermanentError `invalid_pattern`."""

    def __init__(self, categories: Sequence[Category], parameters: Parameters) -> None:
        terms = [category.terms if category.is_selected else () for category in categories]
        self._keywords = Keywords(terms, is_fuzzy=parameters.fuzzy_keywords)
        self.patterns = Patterns(parameters.patterns)
        self._categories = categories
        self._is_contextual = parameters.extraction_mode == "contextual"
        self._least = parameters.confidence_threshold
        self._validated = True if parameters.enable_validation_stage else None

    def find(self, chunk: Chunk, passing: frozenset[int]) -> Iterator[Finding]:
        """`passing`: the categories that the chunk speaks of; in contextual mode the keywords of a child count only
        where its parent is among them. What a rule has found needs no second look, so it is validated."""
        for start, end, number, ratio in self._keywords.find(chunk.text):
            parent = self._categories[number].parent
            in_context = not self._is_contextual or parent is None or parent in passing
            if in_context and ratio >= max(self._least, self._categories[number].threshold or 0.0):
                method = "keyword" if ratio == 1 else "fuzzy_keyword"
                yield Finding(number, "keyword", start, end, ratio, method, self._validated)
        for name, start, end in self.patterns.find(chunk.text):
            yield Finding(None, name, start, end, 1.0, "pattern", self._validated)

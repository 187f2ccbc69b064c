"""Labels by a language model: it is asked about the categories that fit a chunk best offline, and believed where the
chunk says what it quotes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from worker.jobs.extraction.asking import Asking
from worker.jobs.extraction.categories import Category
from worker.jobs.extraction.decide import Matrix
from worker.jobs.extraction.model import Chunk, Labels, Span
from worker.jobs.extraction.offline import OfflineLabeller
from worker.jobs.extraction.parameters import Parameters
from worker.jobs.extraction.prompts import Found, findings_in, to_find
from worker.jobs.shared.llm.quotes import find_quote

Item = tuple[Chunk, list[Category]]
METHOD = "llm"


class LlmLabeller:
    """`label` raises what `Llm.map` raises."""

    def __init__(
        self, asking: Asking, offline: OfflineLabeller, categories: Sequence[Category], parameters: Parameters
    ) -> None:
        self._asking = asking
        self._offline = offline
        self._categories = categories
        self._selected = np.array([category.index for category in categories if category.is_selected], dtype=np.intp)
        # As they were given, not as the nearest number of half the size: a model says 0.8 and means no less.
        self._thresholds = [max(parameters.confidence_threshold, each.threshold or 0.0) for each in categories]
        self._prefilter = parameters.prefilter
        self._most = parameters.max_labels_per_chunk
        self._with_paths = parameters.extraction_mode == "contextual"

    def label(self, chunks: Sequence[Chunk]) -> list[Labels]:
        scores = self._offline.similarities(chunks)
        items = [(chunk, self._candidates(row)) for chunk, row in zip(chunks, scores, strict=True)]
        found = self._asking.about(items, lambda item: item[0], self._spans, "extract")
        return [Labels(failed=True) if spans is None else self._labels(spans) for spans in found]

    def _candidates(self, scores: Matrix) -> list[Category]:
        """The best first."""
        order = np.argsort(-scores[self._selected], kind="stable")[: self._prefilter]
        return [self._categories[number] for number in self._selected[order].tolist()]

    async def _spans(self, item: Item) -> list[Span]:
        chunk, candidates = item
        if not chunk.text.strip():
            return []
        form = findings_in(tuple(category.id for category in candidates))
        reply = await self._asking.llm.ask(to_find(chunk, candidates, with_paths=self._with_paths), form)
        return list(self._grounded(chunk, {category.id: category for category in candidates}, reply.findings))

    def _grounded(self, chunk: Chunk, candidates: dict[str, Category], found: Sequence[Found]) -> Iterator[Span]:
        for each in found:
            category = candidates.get(each.category_id)
            quote = None if category is None else find_quote(each.quote, chunk.text)
            if category is None:
                self._asking.outside_dropped += 1
            elif quote is None:
                self._asking.llm.usage.ungrounded_dropped += 1
            elif each.confidence >= self._thresholds[category.index] and each.confidence > 0:
                # No category beside it has a confidence that could be compared.
                yield Span(category.index, quote.start, quote.end, each.confidence, 0.0, METHOD)

    def _labels(self, spans: Sequence[Span]) -> Labels:
        joined = list(_joined(spans))
        specific = [span for span in joined if not any(self._is_within(span, other) for other in joined)]
        specific.sort(key=lambda span: -span.confidence)
        kept = list(dict.fromkeys(span.category for span in specific))[: self._most]
        passing = {number for span in spans for number in self._with_parents(span.category)}
        return Labels([span for span in specific if span.category in kept], frozenset(passing))

    def _is_within(self, above: Span, below: Span) -> bool:
        """Whether the same place is said to speak of a category further down the branch: its path names this one."""
        overlap = above.start < below.end and below.start < above.end
        return overlap and above.category != below.category and above.category in self._with_parents(below.category)

    def _with_parents(self, category: int) -> Iterator[int]:
        number: int | None = category
        while number is not None:
            yield number
            number = self._categories[number].parent


def _joined(spans: Sequence[Span]) -> Iterator[Span]:
    """Of each category, quotes that overlap as one."""
    last: Span | None = None
    for span in sorted(spans, key=lambda span: (span.category, span.start)):
        if last is not None and span.category == last.category and span.start < last.end:
            end, sure = max(last.end, span.end), max(last.confidence, span.confidence)
            last = Span(last.category, last.start, end, sure, 0.0, METHOD)
            continue
        if last is not None:
            yield last
        last = span
    if last is not None:
        yield last

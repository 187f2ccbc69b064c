"""Labels without a model from elsewhere: how like a text is to what its categories are called and described by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np

from worker.jobs.extraction.categories import Category
from worker.jobs.extraction.decide import Decision, Flags, Matrix
from worker.jobs.extraction.feedback import Feedback
from worker.jobs.extraction.load import Chunks
from worker.jobs.extraction.model import Chunk, Labels, Span
from worker.jobs.extraction.neighbours import MOST, Neighbours
from worker.jobs.extraction.parameters import Parameters
from worker.jobs.extraction.progress import SCORE, VECTORISE
from worker.jobs.extraction.sentences import in_context, runs
from worker.jobs.extraction.space import Space
from worker.jobs.shared.progress import Progress
from worker.jobs.shared.sentences import Place, sentences_of
from worker.jobs.shared.word_counts import Counts

_BATCH: Final = 500
_SENTENCES: Final = 5000


class OfflineLabeller:
    """Fitted to all chunks at once, then asked for them in order."""

    def __init__(
        self, chunks: Chunks, words: Counts, categories: Sequence[Category], parameters: Parameters, progress: Progress
    ) -> None:
        """`words`: of the chunks; used up."""
        is_contextual = parameters.extraction_mode == "contextual"
        self._decision = Decision(categories, parameters.confidence_threshold, is_contextual=is_contextual)
        self._most = parameters.max_labels_per_chunk
        self._by_sentence = parameters.granularity == "sentence"
        progress.note(VECTORISE, "Counting words", chunks.count, 0.0)
        self._space = Space(words, categories, parameters.seed)
        progress.note(VECTORISE, "Compared words", chunks.count)
        self.method = "tfidf" if self._space.is_small else "lsa_feedback"
        self.uncovered = [c for c, is_covered in zip(categories, self._space.is_covered, strict=True) if not is_covered]
        self._centroids: Matrix | None = None
        self._neighbours: Neighbours | None = None
        if not self._space.is_small:
            self._fit(progress)
        self._next = 0

    @property
    def is_small(self) -> bool:
        return self._space.is_small

    def label(self, chunks: Sequence[Chunk]) -> list[Labels]:
        similarities = self.similarities(chunks)
        confidences = self._decision.confidences(similarities)
        passing = self._decision.passing(confidences)
        labels = [Labels([], frozenset(np.flatnonzero(row).tolist())) for row in passing]
        by_sentence = self._by_sentence
        found = (
            self._of_sentences(chunks, similarities) if by_sentence else self._of_chunks(chunks, confidences, passing)
        )
        for number, span in found:
            labels[number].spans.append(span)
        return labels

    def similarities(self, chunks: Sequence[Chunk]) -> Matrix:
        """One row a chunk, one column a category. The next ones, as those of `label`."""
        rows = self._space.chunks[self._next : self._next + len(chunks)]
        self._next += len(chunks)
        return self._similarities(rows)

    def _of_chunks(self, chunks: Sequence[Chunk], confidences: Matrix, passing: Flags) -> Iterator[tuple[int, Span]]:
        wanted = self._decision.wanted(passing)
        margins = self._decision.margins(confidences)
        for row in np.flatnonzero(wanted.any(axis=1)).tolist():
            for column in self._best(confidences[row], wanted[row]):
                sure, margin = float(confidences[row, column]), float(margins[row, column])
                yield row, Span(column, 0, len(chunks[row].text), sure, margin, self.method)

    def _of_sentences(self, chunks: Sequence[Chunk], of_chunks: Matrix) -> Iterator[tuple[int, Span]]:
        for first, last, places in _portions(chunks):
            texts = [c.text[a:b] for c, own in zip(chunks[first:last], places, strict=True) for a, b in own]
            similarities = self._similarities(self._space.vectors(texts))
            ends = np.cumsum([0, *map(len, places)]).tolist()
            for number, (low, high), own in zip(range(first, last), pairwise(ends), places, strict=True):
                if own:
                    for span in self._of_one(in_context(similarities[low:high], of_chunks[number]), own):
                        yield number, span

    def _of_one(self, scores: Matrix, places: Sequence[Place]) -> Iterator[Span]:
        """The spans of a chunk with sentences at `places`."""
        confidences = self._decision.confidences(scores)
        wanted = self._decision.wanted(self._decision.passing(confidences))
        margins = self._decision.margins(confidences)
        for column in self._best((confidences * wanted).max(axis=0), np.any(wanted, axis=0)):
            for start, end in runs(scores[:, column], wanted[:, column]):
                sure = np.where(wanted[start:end, column], confidences[start:end, column], 0)
                best = start + int(sure.argmax())
                sureness, margin = float(confidences[best, column]), float(margins[best, column])
                yield Span(column, places[start][0], places[end - 1][1], sureness, margin, self.method)

    def _best(self, confidences: Matrix, wanted: Flags) -> list[int]:
        order = np.argsort(-confidences, kind="stable")
        best: list[int] = order[wanted[order]][: self._most].tolist()
        return best

    def _similarities(self, vectors: Any) -> Matrix:
        """The cosines of words and, in a corpus that is large enough, of meaning, evened out over neighbours."""
        words: Matrix = (vectors @ self._space.profiles.T).toarray()
        if self._centroids is None:
            return words
        meaning = self._space.project(vectors)
        found: Matrix = words + meaning @ self._centroids.T
        return found if self._neighbours is None else self._neighbours.smooth(found, meaning)

    def _fit(self, progress: Progress) -> None:
        space = self._space
        self._centroids = space.project(space.profiles)
        feedback = Feedback(self._centroids, self._decision.groups, space.chunks.shape[0])
        for start in range(0, space.chunks.shape[0], _BATCH):
            rows = space.chunks[start : start + _BATCH]
            feedback.add(self._similarities(rows), space.project(rows))
            progress.note(SCORE, "Looking for typical chunks", start + rows.shape[0])
        self._centroids = feedback.centroids()
        some = space.chunks[:: -(-space.chunks.shape[0] // MOST)]
        self._neighbours = Neighbours(space.project(some), self._similarities(some))


def _portions(chunks: Sequence[Chunk]) -> Iterator[tuple[int, int, list[list[Place]]]]:
    """Neighbouring chunks, from the first to before the last, with the places of their sentences: about as many as
    memory allows."""
    first, places, total = 0, list[list[Place]](), 0
    for number, chunk in enumerate(chunks):
        places.append(sentences_of(chunk.text))
        total += len(places[-1])
        if total >= _SENTENCES or number + 1 == len(chunks):
            yield first, number + 1, places
            first, places, total = number + 1, [], 0

"""Texts and categories as vectors: TF-IDF of the corpus, and its latent semantic axes when it is large enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
from scipy.sparse import csr_matrix, diags
from sklearn.preprocessing import normalize

from worker.jobs.extraction.categories import Category
from worker.jobs.extraction.counting import Counter, terms_of
from worker.jobs.extraction.decide import Matrix
from worker.jobs.shared.axes import axes_of
from worker.jobs.shared.word_counts import Counts
from worker.jobs.shared.words import words_of

# Below this number of chunks the axes are not worth the name.
SMALL: Final = 200
AXES: Final = 200
_LARGE: Final = 1000
_MOST_TERMS: Final = 30_000
_MOST_IN: Final = 0.5
# More chunks hardly turn the axes, but cost memory.
_MOST_FOR_AXES: Final = 50_000


class Space:
    """`chunks`: TF-IDF, one row a chunk; `profiles`: one row a category; rows have unit length, or are empty.
    `is_covered`: one for each category."""

    def __init__(self, texts: Counts, categories: Sequence[Category], seed: int) -> None:
        """`texts`: the words of the chunks; used up."""
        count = len(texts)
        self.is_small = count < SMALL
        self._counter = Counter()
        profiles = [profile_of(category, terms_of) for category in categories]
        # A small corpus need not contain the words of a category for them to have a weight.
        for profile in profiles if self.is_small else []:
            texts.add(words_of(" ".join(profile).lower()))
        counts = self._counter.fit(texts)
        texts.clear()
        names = [term for category in categories for term in terms_of(category.name)]
        self._keep_terms(counts, count, profiles, names)
        # There are no axes without words.
        self.is_small = self.is_small or not len(self._columns)
        self.chunks = self._weigh(counts[:count, self._columns])
        del counts
        self.profiles = self._weigh(self._rows(profiles))
        self.is_covered = self._find_covered()
        self._axes = None if self.is_small else self._find_axes(seed)

    def vectors(self, texts: Sequence[str]) -> Any:
        """TF-IDF of further texts."""
        return self._weigh(self._counter.transform(texts)[:, self._columns])

    def project(self, vectors: Any) -> Matrix:
        """On the semantic axes, with unit length. Not for small corpora."""
        projected: Matrix = normalize(vectors @ self._axes)
        return projected

    def _keep_terms(self, counts: Any, count: int, profiles: Sequence[dict[str, float]], names: Sequence[str]) -> None:
        """All words of the categories stay, however rare they are, and their names however frequent."""
        frequency = np.bincount(counts.indices, minlength=counts.shape[1])
        vocabulary = self._counter.columns
        kept = np.ones(len(frequency), dtype=np.bool_)
        if not self.is_small:
            kept = frequency >= (5 if count >= _LARGE else 2)
            rank = np.argsort(-np.where(kept, frequency, 0), kind="stable")
            kept[rank[_MOST_TERMS:]] = False
            kept[[vocabulary[term] for profile in profiles for term in profile if term in vocabulary]] = True
            kept &= frequency <= _MOST_IN * count
            kept[[vocabulary[term] for term in names if term in vocabulary]] = True
        self._columns = np.flatnonzero(kept)
        numbers = {int(column): number for number, column in enumerate(self._columns)}
        self._numbers = {term: numbers[column] for term, column in vocabulary.items() if column in numbers}
        rows = counts.shape[0]
        self._idf = np.log((1 + rows) / (1 + frequency[self._columns])).astype(np.float32) + np.float32(1)

    def _find_covered(self) -> list[bool]:
        """Of each category whether any of its words occurs in a chunk."""
        occurs = np.bincount(self.chunks.indices, minlength=self.chunks.shape[1]) > 0
        rows = pairwise(self.profiles.indptr.tolist())
        return [bool(occurs[self.profiles.indices[start:end]].any()) for start, end in rows]

    def _weigh(self, counts: Any) -> Any:
        counts = counts.astype(np.float32).tocsr()
        large = counts.data > 1
        counts.data[large] = 1 + np.log(counts.data[large])
        if not len(self._columns):
            return counts
        return normalize(counts @ diags(self._idf, dtype=np.float32)).tocsr()

    def _rows(self, profiles: Sequence[dict[str, float]]) -> Any:
        cells = [
            (row, self._numbers[term], weight)
            for row, profile in enumerate(profiles)
            for term, weight in profile.items()
            if term in self._numbers
        ]
        rows, columns, values = zip(*cells, strict=True) if cells else ((), (), ())
        shape = (len(profiles), len(self._columns))
        return csr_matrix((np.array(values, dtype=np.float32), (rows, columns)), shape=shape)

    def _find_axes(self, seed: int) -> Matrix:
        rows, terms = self.chunks.shape
        sample = self.chunks[:: -(-rows // _MOST_FOR_AXES)]
        count = max(1, min(AXES, terms - 1, sample.shape[0] - 1))
        axes: Matrix = np.ascontiguousarray(axes_of(sample, count, seed).T, dtype=np.float32)
        return axes


def profile_of(category: Category, analyse: Callable[[str], list[str]]) -> dict[str, float]:
    """How often each word of the category counts: of its name twice, of its description once, and its keywords by
    their weight, of which the largest is 1."""
    counts: dict[str, float] = {}
    parts = [(category.name, 2.0), (category.description, 1.0), *category.weighted_keywords]
    for text, weight in parts:
        for term in analyse(text):
            counts[term] = counts.get(term, 0.0) + weight
    return counts

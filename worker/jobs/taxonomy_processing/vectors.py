"""Chunks as vectors: TF-IDF of their words, and its latent semantic axes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.preprocessing import normalize

from worker.context import PermanentError
from worker.jobs.shared.progress import Progress
from worker.jobs.taxonomy_processing.arrays import Matrix, Numbers
from worker.jobs.taxonomy_processing.corpus import Corpus
from worker.jobs.taxonomy_processing.counting import Terms
from worker.jobs.taxonomy_processing.memory import give_back
from worker.jobs.taxonomy_processing.progress import VECTORISE
from worker.jobs.taxonomy_processing.smooth import Smoothed

AXES: Final = 100
_LEAST_TERMS: Final = 50
# More chunks hardly turn the axes, but cost memory.
_MOST_FOR_AXES: Final = 50_000
_BATCH: Final = 10_000
_NOTED: Final = 500


class Space:
    """`words`: sparse, one row a chunk that is used; `terms`: the words of its columns; `meaning`: rows of unit length;
    `smoothed`: the same for finding groups, of all chunks or a sample.

    Raises PermanentError `not_enough_variety`.
    """

    def __init__(self, corpus: Corpus, stop: list[str], seed: int, progress: Progress) -> None:
        count = len(corpus.numbers)
        terms = Terms(_noted(corpus, progress), stop)
        if len(terms.names) < _LEAST_TERMS:
            message = (
                f"Only {len(terms.names)} words occur in several chunks, and {_LEAST_TERMS} are needed to tell "
                "categories apart; give more or longer texts, or use a hand-written taxonomy."
            )
            raise PermanentError("not_enough_variety", message)
        self.terms, self._columns, self._idf = terms.names, terms.columns, terms.weights
        self.words: Any = terms.matrix(
            corpus.texts(), lambda done: progress.note(VECTORISE, "Weighing words", done, 0.3 + 0.3 * done / count)
        )
        progress.note(VECTORISE, "Finding what words have in common", count, 0.6)
        sample = self.words[:: -(-count // _MOST_FOR_AXES)]
        self._svd = TruncatedSVD(min(AXES, len(self.terms) - 1, sample.shape[0] - 1), random_state=seed).fit(sample)
        del sample
        give_back()
        self.meaning: Matrix = normalize(self._svd.transform(self.words), copy=False)
        progress.note(VECTORISE, "Comparing chunks", 0, 0.8)
        self.smoothed = Smoothed(
            self.words,
            self.meaning,
            lambda done: progress.note(VECTORISE, "Comparing chunks", done, 0.8 + 0.2 * done / count),
        )
        progress.note(VECTORISE, "Compared chunks", count, 1.0)

    def total(self, members: Numbers) -> Matrix:
        """The sum of these rows."""
        total = np.zeros(self.meaning.shape[1], dtype=np.float64)
        for rows in parts(members):
            total += self.meaning[rows].sum(axis=0, dtype=np.float64)
        return total.astype(np.float32)

    def middle(self, members: Numbers) -> Matrix:
        """Where these rows are on the mean, of unit length."""
        total = self.total(members)
        return np.asarray(total / max(float(np.linalg.norm(total)), 1e-9))

    def alike(self, members: Numbers, vectors: Matrix) -> Matrix:
        """How alike the meaning of these rows is to some vectors: `vectors.T` is of one or of several."""
        found = [self.meaning[rows] @ vectors.T for rows in parts(members)]
        return np.concatenate(found) if found else np.zeros((0, *vectors.shape[:-1]), dtype=np.float32)

    def vectors(self, profiles: list[dict[str, float]]) -> tuple[Any, Matrix]:
        """Words with weights, in both spaces."""
        rows = np.zeros((len(profiles), len(self.terms)), dtype=np.float32)
        for row, profile in enumerate(profiles):
            for term, weight in profile.items():
                column = self._columns.get(term)
                if column is not None:
                    rows[row, column] = weight * self._idf[column]
        rows = normalize(rows)
        return rows, normalize(self._svd.transform(rows))


def parts(members: Numbers) -> list[Numbers]:
    """Few enough rows at a time that a copy of them is small."""
    return [members[start : start + _BATCH] for start in range(0, len(members), _BATCH)]


def _noted(corpus: Corpus, progress: Progress) -> Iterator[str]:
    for done, text in enumerate(corpus.texts(), 1):
        yield text
        if done % _NOTED == 0:
            progress.note(VECTORISE, "Counting words", done, 0.3 * done / progress.total)

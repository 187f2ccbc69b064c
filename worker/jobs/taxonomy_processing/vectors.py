"""Chunks as vectors: TF-IDF of their words, and its latent semantic axes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

from worker.context import PermanentError
from worker.jobs.shared.progress import Progress, Stage
from worker.jobs.taxonomy_processing.corpus import Corpus
from worker.jobs.taxonomy_processing.words import TOKEN

VECTORISE: Final[Stage] = (0.10, 0.40)
Matrix = NDArray[np.float32]
AXES: Final = 100
_LARGE: Final = 1000
_MOST_TERMS: Final = 30_000
_MOST_IN: Final = 0.5
_LEAST_TERMS: Final = 50
# More chunks hardly turn the axes, but cost memory.
_MOST_FOR_AXES: Final = 50_000
_BATCH: Final = 500


class Space:
    """`words`: sparse, one row a chunk that is used; `terms`: the words of its columns; `meaning`: rows of unit length.

    Raises PermanentError `not_enough_variety`.
    """

    def __init__(self, corpus: Corpus, stop: list[str], seed: int, progress: Progress) -> None:
        count = len(corpus.numbers)
        counter = TfidfVectorizer(
            token_pattern=TOKEN,
            stop_words=stop or None,
            min_df=5 if count >= _LARGE else 2,
            max_df=_MOST_IN,
            max_features=_MOST_TERMS,
            sublinear_tf=True,
            dtype=np.float32,
        )
        try:
            self.words: Any = counter.fit_transform(_noted(corpus, progress))
            self.terms = counter.get_feature_names_out().tolist()
        # Nothing is left of the vocabulary.
        except ValueError:
            self.terms = []
        if len(self.terms) < _LEAST_TERMS:
            message = (
                f"Only {len(self.terms)} words occur in several chunks, and {_LEAST_TERMS} are needed to tell "
                "categories apart; give more or longer texts, or use a hand-written taxonomy."
            )
            raise PermanentError("not_enough_variety", message)
        self._columns = {term: number for number, term in enumerate(self.terms)}
        self._idf: Matrix = counter.idf_
        progress.note(VECTORISE, "Finding what words have in common", count, 0.6)
        sample = self.words[:: -(-count // _MOST_FOR_AXES)]
        self._svd = TruncatedSVD(min(AXES, len(self.terms) - 1, sample.shape[0] - 1), random_state=seed).fit(sample)
        self.meaning: Matrix = normalize(self._svd.transform(self.words), copy=False)
        progress.note(VECTORISE, "Found what words have in common", count, 1.0)

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


def _noted(corpus: Corpus, progress: Progress) -> Iterator[str]:
    for done, text in enumerate(corpus.texts(), 1):
        yield text
        if done % _BATCH == 0:
            progress.note(VECTORISE, "Counting words", done, 0.6 * done / progress.total)

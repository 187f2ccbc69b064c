"""Words of chunks as a sparse matrix. Texts go by twice and are never held, so that memory is that of the matrix."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from worker.jobs.taxonomy_processing.arrays import Numbers
from worker.jobs.taxonomy_processing.words import has_letter, words_and_numbers

Weights = NDArray[np.float32]
_MOST_TERMS: Final = 30_000
_MOST_IN: Final = 0.5
_LARGE: Final = 1000
_LEAST_IN_LARGE: Final = 5
_LEAST_IN: Final = 2
_BATCH: Final = 500


class Terms:
    """The words that tell texts apart: neither in a few of them nor in most. `weights`: of each, its idf."""

    def __init__(self, texts: Iterable[str], stop: Sequence[str]) -> None:
        counts: Counter[str] = Counter()
        self.texts = 0
        for text in texts:
            counts.update(set(words_and_numbers(text)))
            self.texts += 1
        least = _LEAST_IN_LARGE if self.texts >= _LARGE else _LEAST_IN
        left_out = frozenset(stop)
        usual = [
            (count, word)
            for word, count in counts.items()
            if least <= count <= _MOST_IN * self.texts and word not in left_out and has_letter(word)
        ]
        # Of equally frequent ones those that come first in the alphabet.
        usual.sort(key=lambda pair: (-pair[0], pair[1]))
        kept = sorted((word, count) for count, word in usual[:_MOST_TERMS])
        self.names = [word for word, _ in kept]
        self.columns = {word: column for column, word in enumerate(self.names)}
        self._in_texts = np.array([count for _, count in kept], dtype=np.int64)
        self.weights: Weights = (np.log((1 + self.texts) / (1 + self._in_texts)) + 1).astype(np.float32)

    def matrix(self, texts: Iterable[str], note: Callable[[int], None]) -> Any:
        """TF-IDF of the same texts, rows of unit length: float32, with 32-bit numbers of columns.

        `note`: is told how many texts are done.
        """
        # How many numbers there will be is known: nothing has to grow.
        size = int(self._in_texts.sum())
        columns, values = np.empty(size, dtype=np.int32), np.empty(size, dtype=np.float32)
        starts = np.zeros(self.texts + 1, dtype=np.int32 if size < 2**31 else np.int64)
        done = filled = 0
        for batch in _batches(texts):
            row, column, count = self._counted(batch)
            value = (1 + np.log(count)) * self.weights[column]
            lengths = np.sqrt(np.bincount(row, value * value, len(batch)))
            end = filled + len(column)
            columns[filled:end], values[filled:end] = column, value / lengths[row]
            starts[done + 1 : done + 1 + len(batch)] = filled + np.cumsum(np.bincount(row, minlength=len(batch)))
            done, filled = done + len(batch), end
            note(done)
        return csr_matrix((values, columns, starts), shape=(self.texts, len(self.names)))

    def _counted(self, texts: Sequence[str]) -> tuple[Numbers, Numbers, Weights]:
        """Row, column and how often, in the order of rows and columns."""
        places: list[int] = []
        lengths: list[int] = []
        get = self.columns.get
        for text in texts:
            found = [column for word in words_and_numbers(text) if (column := get(word)) is not None]
            places += found
            lengths.append(len(found))
        width = max(1, len(self.names))
        rows = np.repeat(np.arange(len(texts), dtype=np.int64), lengths)
        both, counts = np.unique(rows * width + np.array(places, dtype=np.int64), return_counts=True)
        return both // width, both % width, counts.astype(np.float32)


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(texts)
    while batch := list(islice(rest, _BATCH)):
        yield batch

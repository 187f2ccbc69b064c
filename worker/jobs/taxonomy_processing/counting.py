"""Words of chunks as a sparse matrix."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from worker.jobs.shared.word_counts import Counts
from worker.jobs.taxonomy_processing.arrays import Numbers
from worker.jobs.taxonomy_processing.words import has_letter

Weights = NDArray[np.float32]
_MOST_TERMS: Final = 30_000
_MOST_IN: Final = 0.5
# What is longer is a hash, or data in letters, and names nothing.
_LONGEST_WORD: Final = 60
_LARGE: Final = 1000
_LEAST_IN_LARGE: Final = 5
_LEAST_IN: Final = 2


class Terms:
    """The words that tell some of the texts apart: neither in a few of them nor in most, nor too long for a name.
    `texts`: their numbers, ascending; `weights`: of each word, its idf. Raises StorageError."""

    def __init__(self, counts: Counts, texts: Sequence[int], stop: Sequence[str]) -> None:
        self._counts = counts
        self._texts = texts
        words = counts.words()
        in_texts = np.zeros(len(words), dtype=np.int64)
        for _, word, _, _ in counts.batches(texts):
            in_texts += np.bincount(word, minlength=len(words))
        kept = _telling(words, in_texts, len(texts), frozenset(stop))
        self.names = [word for word, _ in kept]
        self.columns = {word: column for column, word in enumerate(self.names)}
        self._column_of = np.full(len(words), -1, dtype=np.int64)
        numbers = [number for _, number in kept]
        self._column_of[numbers] = np.arange(len(kept))
        self._in_texts = in_texts[numbers]
        self.weights: Weights = (np.log((1 + len(texts)) / (1 + self._in_texts)) + 1).astype(np.float32)

    def matrix(self, note: Callable[[int], None]) -> Any:
        """TF-IDF of the texts, rows of unit length: float32, with 32-bit numbers of columns.

        `note`: is told how many texts are done.
        """
        # How many numbers there will be is known: nothing has to grow.
        size = int(self._in_texts.sum())
        columns, values = np.empty(size, dtype=np.int32), np.empty(size, dtype=np.float32)
        starts = np.zeros(len(self._texts) + 1, dtype=np.int32 if size < 2**31 else np.int64)
        done = filled = 0
        for row, column, count, rows in self._batches():
            value = (1 + np.log(count)) * self.weights[column]
            lengths = np.sqrt(np.bincount(row, value * value, rows))
            end = filled + len(column)
            columns[filled:end], values[filled:end] = column, value / lengths[row]
            starts[done + 1 : done + 1 + rows] = filled + np.cumsum(np.bincount(row, minlength=rows))
            done, filled = done + rows, end
            note(done)
        return csr_matrix((values, columns, starts), shape=(len(self._texts), len(self.names)))

    def _batches(self) -> Iterator[tuple[Numbers, Numbers, Weights, int]]:
        """Row, column and how often, in the order of rows and columns; and how many rows."""
        for row, word, count, rows in self._counts.batches(self._texts):
            column = self._column_of[word]
            order = np.argsort(row * len(self._column_of) + column, kind="stable")
            order = order[column[order] >= 0]
            yield row[order], column[order], count[order].astype(np.float32), rows


def _telling(words: Sequence[str], in_texts: Numbers, texts: int, left_out: frozenset[str]) -> list[tuple[str, int]]:
    """In the order of the alphabet, with their numbers."""
    least = _LEAST_IN_LARGE if texts >= _LARGE else _LEAST_IN
    usual = [
        (-int(in_texts[number]), words[number], number)
        for number in np.flatnonzero((in_texts >= least) & (in_texts <= _MOST_IN * texts)).tolist()
        if 1 < len(words[number]) <= _LONGEST_WORD and words[number] not in left_out and has_letter(words[number])
    ]
    # Of equally frequent ones those that come first in the alphabet.
    return sorted((word, number) for _, word, number in sorted(usual)[:_MOST_TERMS])

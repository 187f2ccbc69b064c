"""Words of chunks as a sparse matrix. Texts go by once and are never held: their counts wait in a file."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from worker.jobs.shared.workspace import storing
from worker.jobs.taxonomy_processing.words import has_letter

Weights = NDArray[np.float32]
Numbers = NDArray[np.int64]
_MOST_TERMS: Final = 30_000
_MOST_IN: Final = 0.5
_LARGE: Final = 1000
_LEAST_IN_LARGE: Final = 5
_LEAST_IN: Final = 2
_BATCH: Final = 500


class Counts:
    """How often which words are in each text: the words get numbers, and the counts go into the file.

    First filled, then read. Raises StorageError.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._numbers: defaultdict[bytes, int] = defaultdict()
        self._numbers.default_factory = self._numbers.__len__
        self._waiting: list[list[int]] = []
        # How many different words each text has.
        self._sizes = array("l")
        with storing():
            file.write_bytes(b"")

    def add(self, words: Iterable[bytes]) -> None:
        """The words of the next text, in small letters."""
        self._waiting.append(list(map(self._numbers.__getitem__, words)))
        if len(self._waiting) == _BATCH:
            self._flush()

    def words(self) -> list[str]:
        """By their numbers."""
        return [word.decode() for word in self._numbers]

    def batches(self, texts: Sequence[int]) -> Iterator[tuple[Numbers, Numbers, Numbers, int]]:
        """Of some texts, by their ascending numbers: rows within the batch, words and counts; and how many rows."""
        self._flush()
        chosen = np.asarray(texts, dtype=np.int64)
        with storing(), self._file.open("rb") as file:
            for first in range(0, len(self._sizes), _BATCH):
                sizes = np.asarray(self._sizes[first : first + _BATCH], dtype=np.int64)
                pairs = np.fromfile(file, np.int32, 2 * int(sizes.sum())).reshape(2, -1).astype(np.int64)
                rows = chosen[np.searchsorted(chosen, first) : np.searchsorted(chosen, first + len(sizes))] - first
                place = np.full(len(sizes), -1)
                place[rows] = np.arange(len(rows))
                row = np.repeat(place, sizes)
                kept = row >= 0
                yield row[kept], pairs[0][kept], pairs[1][kept], len(rows)

    def clear(self) -> None:
        """When nobody reads it any more."""
        self._numbers.clear()
        with storing():
            self._file.unlink()

    def _flush(self) -> None:
        if not self._waiting:
            return
        rows = np.repeat(np.arange(len(self._waiting), dtype=np.int64), list(map(len, self._waiting)))
        words = np.fromiter((number for text in self._waiting for number in text), np.int64, len(rows))
        width = max(1, len(self._numbers))
        both, counts = np.unique(rows * width + words, return_counts=True)
        row, word = np.divmod(both, width)
        self._sizes.extend(np.bincount(row, minlength=len(self._waiting)).tolist())
        with storing(), self._file.open("ab") as file:
            file.write(np.stack([word, counts]).astype(np.int32).tobytes())
        self._waiting = []


class Terms:
    """The words that tell some of the texts apart: neither in a few of them nor in most. `texts`: their numbers,
    ascending; `weights`: of each word, its idf. Raises StorageError."""

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
        if len(words[number]) > 1 and words[number] not in left_out and has_letter(words[number])
    ]
    # Of equally frequent ones those that come first in the alphabet.
    return sorted((word, number) for _, word, number in sorted(usual)[:_MOST_TERMS])

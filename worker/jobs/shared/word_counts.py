"""How often which words are in texts. These go by once and are never held: what is counted waits in a file."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from worker.jobs.shared.workspace import storing

Numbers = NDArray[np.int64]
# So many texts or words wait until they are counted.
_MOST_TEXTS: Final = 500
_MOST_WORDS: Final = 500_000


class Counts:
    """How often which words are in each text: the words get numbers, and the counts go into the file.

    First filled, then read. Raises StorageError.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._numbers: defaultdict[bytes, int] = defaultdict()
        self._numbers.default_factory = self._numbers.__len__
        self._waiting: list[list[int]] = []
        self._words_waiting = 0
        # How many different words each text has.
        self._sizes = array("l")
        # Before which text each part of the file ends.
        self._ends = [0]
        with storing():
            file.write_bytes(b"")

    def add(self, words: Iterable[bytes]) -> None:
        """The words of the next text, in small letters."""
        numbers = list(map(self._numbers.__getitem__, words))
        self._waiting.append(numbers)
        self._words_waiting += len(numbers)
        if len(self._waiting) == _MOST_TEXTS or self._words_waiting >= _MOST_WORDS:
            self._flush()

    def __len__(self) -> int:
        """Of texts."""
        return len(self._sizes) + len(self._waiting)

    def words(self) -> list[str]:
        """By their numbers."""
        return [word.decode() for word in self._numbers]

    def batches(self, texts: Sequence[int]) -> Iterator[tuple[Numbers, Numbers, Numbers, int]]:
        """Of some texts, by their ascending numbers: rows within the batch, words and counts; and how many rows."""
        self._flush()
        chosen = np.asarray(texts, dtype=np.int64)
        with storing(), self._file.open("rb") as file:
            for first, end in pairwise(self._ends):
                sizes = np.asarray(self._sizes[first:end], dtype=np.int64)
                pairs = np.fromfile(file, np.int32, 2 * int(sizes.sum())).reshape(2, -1).astype(np.int64)
                rows = chosen[np.searchsorted(chosen, first) : np.searchsorted(chosen, end)] - first
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
        self._ends.append(len(self._sizes))
        self._waiting = []
        self._words_waiting = 0

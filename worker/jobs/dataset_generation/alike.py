"""Finds all texts of a set that are like a given one, and misses none: what is in two splits must not be overlooked.

MinHash would miss one in eight of those at the border.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from worker.jobs.shared.duplicates import Shingles

Counts = NDArray[np.intp]
# A product of a threshold and a size may be a little more than it is.
_ROUNDING: Final = 1e-9


class Index:
    """Texts as sets of hashes, 4 bytes a word, and about 6 more for looking up.

    Two texts that are alike share one at least of those hashes of each that are the rarest of its own and just too many
    to be what the other lacks. So only these are looked up, and what many texts share, such as an introduction that
    stands in all of them, costs nothing.
    """

    def __init__(self, texts: Iterable[Shingles], threshold: float) -> None:
        """`threshold`: the Jaccard likeness from which on texts are alike."""
        self._threshold = threshold
        parts = list(texts)
        self._hashes = np.concatenate(parts) if parts else np.empty(0, np.uint32)
        self._starts = np.cumsum([0, *map(len, parts)])
        self._known, counts = np.unique(self._hashes, return_counts=True)
        self._counts = counts.astype(np.uint32)
        rarest = [self._rarest(text).astype(np.uint32) for text in parts]
        places = np.concatenate(rarest) if rarest else np.empty(0, np.uint32)
        owners = np.repeat(np.arange(len(rarest), dtype=np.uint32), [len(of_text) for of_text in rarest])
        order = np.argsort(places, kind="stable")
        self._owners = owners[order]
        # Of a hash's owners, by its place in `_known`.
        self._first = np.searchsorted(places[order], np.arange(len(self._known) + 1)).astype(np.uint32)

    def alike(self, text: Shingles) -> list[int]:
        """Numbers of the texts that are, ascending."""
        places = self._rarest(text)
        spans = zip(self._first[places].tolist(), self._first[places + 1].tolist(), strict=True)
        owners = [self._owners[low:high] for low, high in spans if low < high]
        if not owners:
            return []
        found = np.unique(np.concatenate(owners))
        sizes = self._starts[found + 1] - self._starts[found]
        low, high = self._threshold * len(text) - _ROUNDING, len(text) / self._threshold + _ROUNDING
        fits = (low <= sizes) & (sizes <= high)
        found, sizes = found[fits], sizes[fits]
        common = self._common(text, found, sizes)
        return [int(n) for n in found[common / (len(text) + sizes - common) >= self._threshold]]

    def _rarest(self, text: Shingles) -> Counts:
        """Places in `_known` of those that are looked up; what is in no text is the rarest of all and left out."""
        needed = math.ceil(self._threshold * len(text) - _ROUNDING)
        if not len(self._known):
            return np.empty(0, np.intp)
        places = np.minimum(np.searchsorted(self._known, text), len(self._known) - 1)
        places = places[self._known[places] == text]
        unknown = len(text) - len(places)
        rarest = np.argsort(self._counts[places], kind="stable")
        taken: Counts = places[rarest[: max(0, len(text) - needed + 1 - unknown)]]
        return taken

    def _common(self, text: Shingles, numbers: NDArray[np.uint32], sizes: Counts) -> Counts:
        """How many hashes the text and each of these, of these sizes, have in common."""
        if not len(numbers):
            return np.empty(0, np.intp)
        spans = zip(self._starts[numbers].tolist(), self._starts[numbers + 1].tolist(), strict=True)
        hashes = np.concatenate([self._hashes[low:high] for low, high in spans])
        places = np.minimum(np.searchsorted(text, hashes), len(text) - 1)
        common: Counts = np.add.reduceat(text[places] == hashes, np.cumsum(sizes) - sizes, dtype=np.intp)
        return common

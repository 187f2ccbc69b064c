"""Finds all texts of a set that are like a given one, and misses none: what is in two splits must not be overlooked.

MinHash would miss one in eight of those at the border.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Final
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from worker.jobs.shared.duplicates import likeness

Hashes = NDArray[np.uint32]
_WORD: Final = re.compile(r"\w+")
_WIDTH: Final = 3


def shingles_of(text: str) -> Hashes:
    """The text's triples of words as a sorted set of hashes; of a shorter text its words together."""
    words = _WORD.findall(text.lower())
    width = min(_WIDTH, max(1, len(words)))
    hashes = {crc32(" ".join(words[n : n + width]).encode()) for n in range(max(1, len(words) - width + 1))}
    return np.array(sorted(hashes), dtype=np.uint32)


class Index:
    """Texts as sets of hashes, 4 bytes a word and 8 more for looking up."""

    def __init__(self, texts: Iterable[Hashes]) -> None:
        self._texts = list(texts)
        sizes = [len(text) for text in self._texts]
        hashes = np.concatenate(self._texts) if self._texts else np.empty(0, np.uint32)
        owners = np.repeat(np.arange(len(sizes), dtype=np.uint32), sizes)
        order = np.argsort(hashes, kind="stable")
        self._hashes: Hashes = hashes[order]
        self._owners: Hashes = owners[order]

    def alike(self, text: Hashes, threshold: float) -> list[int]:
        """Numbers of the texts whose Jaccard likeness is `threshold` at least."""
        low = np.searchsorted(self._hashes, text, "left")
        high = np.searchsorted(self._hashes, text, "right")
        # Whoever is that alike has this many of the hashes, so one at least of any that are one more than the others.
        needed = math.ceil(threshold * len(text) - 1e-9)
        rarest = np.argsort(high - low, kind="stable")[: len(text) - needed + 1]
        found = {int(owner) for n in rarest.tolist() for owner in self._owners[low[n] : high[n]]}
        return sorted(number for number in found if likeness(text, self._texts[number]) >= threshold)

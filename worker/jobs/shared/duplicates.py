"""Texts that say the same: equal ones, and near ones found by MinHash and verified by their true likeness."""

from __future__ import annotations

import hashlib
from typing import Any, Final, NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from worker.jobs.shared.words import words_of

Shingles = NDArray[np.uint32]
DIGEST_BYTES: Final = 16
_WIDTH: Final = 3
_PERMUTATIONS: Final = 40
# In bands of four numbers 99 of 100 pairs with a likeness of 0.8 meet, in bands of two those of 0.5; they cost memory.
_BANDS: Final = 10
_BANDS_OF_UNLIKE: Final = 20
_UNLIKE: Final = 0.7


class Shape(NamedTuple):
    """What is remembered of a text. `digest`: of its words in small letters; `shingles`: as `shingles_of`."""

    digest: bytes
    shingles: Shingles


def shape_of(text: str) -> Shape:
    return shape_of_words(words_of(text.lower()))


def shape_of_words(words: list[bytes]) -> Shape:
    """The same of a text with these words."""
    return Shape(hashlib.blake2b(b" ".join(words), digest_size=DIGEST_BYTES).digest(), _shingles(words))


def shingles_of(text: str) -> Shingles:
    """The text's triples of words as a sorted set of hashes; of a shorter text its words together."""
    return _shingles(words_of(text.lower()))


class Duplicates:
    """Remembers every text that it is shown as a set of hashed word triples, 4 bytes each, and not the text.

    `threshold`: the Jaccard likeness of the sets from which on two texts count as the same; 0 = only equal texts do.
    """

    def __init__(self, threshold: float, seed: int) -> None:
        self._threshold = threshold
        self._seed = seed
        self._equal: dict[bytes, int] = {}
        self._shingles: list[Shingles] = []
        self._lsh: Any = None

    def first(self, text: str) -> int | None:
        """The number of the first text shown, from 0 on, that says the same; None when it is new, and then numbered."""
        return self.first_of(shape_of(text))

    def first_of(self, shape: Shape) -> int | None:
        """The same for a text of this shape."""
        digest, shingles = shape
        if digest in self._equal:
            return self._equal[digest]
        same = self._near(shingles) if self._threshold else None
        if same is None:
            self._equal[digest] = len(self._shingles)
            self._shingles.append(shingles)
        return same

    def _near(self, shingles: Shingles) -> int | None:
        """Also enters a new one, under the next number."""
        from rensa import RMinHash, RMinHashLSH

        if self._lsh is None:
            bands = _BANDS if self._threshold >= _UNLIKE else _BANDS_OF_UNLIKE
            self._lsh = RMinHashLSH(self._threshold, _PERMUTATIONS, bands)
        sketch = RMinHash(_PERMUTATIONS, self._seed)
        sketch.update(list(map(str, shingles.tolist())))
        for number in sorted(self._lsh.query(sketch)):
            if likeness(shingles, self._shingles[number]) >= self._threshold:
                return int(number)
        self._lsh.insert(len(self._shingles), sketch)
        return None


def likeness(one: Shingles, other: Shingles) -> float:
    """Jaccard: what both have, as a part of what any of them has."""
    common = len(np.intersect1d(one, other, assume_unique=True))
    return common / max(1, len(one) + len(other) - common)


def _shingles(words: list[bytes]) -> Shingles:
    if len(words) < _WIDTH:
        return np.array([crc32(b" ".join(words))], dtype=np.uint32)
    runs = zip(*(words[start:] for start in range(_WIDTH)), strict=False)
    hashes = np.fromiter(map(crc32, map(b" ".join, runs)), np.uint32, len(words) - _WIDTH + 1)
    hashes.sort()
    return hashes[np.concatenate(([True], hashes[1:] != hashes[:-1]))]

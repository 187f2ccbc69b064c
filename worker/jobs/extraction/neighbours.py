"""Texts that are close to each other speak of the same: similarities are evened out over the nearest chunks."""

from __future__ import annotations

from typing import Final

import numpy as np

from worker.jobs.extraction.decide import Matrix

# So many chunks, spread evenly over the corpus, are looked at; more of them hardly change anything but the time.
MOST: Final = 2000
_NEAREST: Final = 5
_SHARE: Final = 0.25


class Neighbours:
    """`vectors`: unit length, one a chunk; `similarities`: theirs, one column a category."""

    def __init__(self, vectors: Matrix, similarities: Matrix) -> None:
        self._vectors = vectors
        self._similarities = similarities

    def smooth(self, similarities: Matrix, vectors: Matrix) -> Matrix:
        """Three parts of a text's own similarities and one of its neighbours', the closer ones first."""
        closeness = vectors @ self._vectors.T
        nearest = np.argpartition(-closeness, _NEAREST, axis=1)[:, :_NEAREST]
        weights = np.maximum(np.take_along_axis(closeness, nearest, axis=1), 0)
        weights /= np.maximum(weights.sum(axis=1, keepdims=True), np.float32(1e-9))
        theirs = np.einsum("tn,tnc->tc", weights, self._similarities[nearest])
        smoothed: Matrix = (similarities * (1 - _SHARE) + theirs * _SHARE).astype(np.float32)
        return smoothed

"""One round of pseudo-relevance feedback: what the chunks that are most like a category have in common.

Only chunks that are at least half as similar as the category's best one have a say. A category that little of the
corpus speaks of has few of them, and without that rule it would be drawn to whatever comes next.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from worker.jobs.extraction.decide import LEAST_SIMILARITY, Matrix

MOST_CHUNKS: Final = 100
_SHARE: Final = 20
_PART_OF_BEST: Final = 0.5


class Feedback:
    """`profiles`: unit vectors, one a category. Takes the chunks in batches and keeps the best of each category."""

    def __init__(self, profiles: Matrix, groups: Sequence[npt.NDArray[np.intp]], chunks: int) -> None:
        self._profiles = profiles
        self._groups = groups
        self._most = min(MOST_CHUNKS, chunks // _SHARE)
        width = profiles.shape[1]
        self._values = [np.empty(0, dtype=np.float32) for _ in profiles]
        self._vectors = [np.empty((0, width), dtype=np.float32) for _ in profiles]

    def add(self, similarities: Matrix, vectors: Matrix) -> None:
        """`vectors`: unit length, one a chunk."""
        for group in self._groups:
            part = similarities[:, group]
            best = part.argmax(axis=1)
            value = part.max(axis=1)
            for place, category in enumerate(group):
                rows = np.flatnonzero((best == place) & (value >= LEAST_SIMILARITY))
                if len(rows):
                    self._keep(int(category), value[rows], vectors[rows])

    def centroids(self) -> Matrix:
        """Unit vectors; of a category to which no chunk belongs its profile."""
        found = np.array(self._profiles)
        for category, (values, vectors) in enumerate(zip(self._values, self._vectors, strict=True)):
            if len(values):
                mean = vectors[values >= _PART_OF_BEST * values[0]].mean(axis=0)
                found[category] = mean / max(float(np.linalg.norm(mean)), 1e-12)
        return found

    def _keep(self, category: int, values: Matrix, vectors: Matrix) -> None:
        values = np.concatenate([self._values[category], values])
        # Stable: of two that are alike the earlier one.
        order = np.argsort(-values, kind="stable")[: self._most]
        self._values[category] = values[order]
        self._vectors[category] = np.concatenate([self._vectors[category], vectors])[order]

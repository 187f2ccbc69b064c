"""What the sentences of a chunk are worth, and the runs of them that speak of one matter."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from worker.jobs.extraction.decide import Flags, Matrix
from worker.jobs.shared.sentences import Place

# On each side; a sentence alone is often too short to tell its matter.
NEIGHBOURS: Final = 2
_PART_OF_MOST: Final = 0.5
_SHARE_OF_CHUNK: Final = 0.2


def in_context(similarities: Matrix, of_chunk: Matrix) -> Matrix:
    """Of the sentences of one chunk: four parts what they and their neighbours have, one part what the chunk has as a
    whole. `of_chunk`: one for each category."""
    scores: Matrix = smoothed(similarities) * np.float32(1 - _SHARE_OF_CHUNK) + of_chunk * np.float32(_SHARE_OF_CHUNK)
    return scores


def smoothed(similarities: Matrix) -> Matrix:
    """Of the sentences of one chunk: each the mean of its own and its neighbours' rows."""
    rows = len(similarities)
    sums = np.vstack([np.zeros_like(similarities[:1]), np.cumsum(similarities, axis=0, dtype=np.float64)])
    low = np.maximum(np.arange(rows) - NEIGHBOURS, 0)
    high = np.minimum(np.arange(rows) + NEIGHBOURS + 1, rows)
    means: Matrix = ((sums[high] - sums[low]) / (high - low)[:, None]).astype(np.float32)
    return means


def runs(scores: Matrix, counts: Flags) -> Iterator[Place]:
    """Where `scores` of neighbouring sentences stay above half their maximum, with one among them that counts."""
    inside = scores > _PART_OF_MOST * scores[counts].max()
    edges = np.flatnonzero(np.diff(np.concatenate([[False], inside, [False]]).astype(np.int8)))
    for start, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if counts[start:end].any():
            yield start, end

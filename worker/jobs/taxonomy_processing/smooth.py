"""Chunks beside those that use the same words: each is drawn towards them, so that a group holds together.

Axes of meaning forget rare words, and it is these that the chunks of one matter share: names, and terms of a trade.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from scipy.sparse import csr_matrix, diags
from sklearn.preprocessing import normalize

from worker.jobs.taxonomy_processing.arrays import Matrix, Numbers

# Each chunk is compared with each other one: of more chunks a sample is taken.
MOST: Final = 20_000
_NEIGHBOURS: Final = 15
# With few chunks the next ones are soon of another matter.
_CHUNKS_A_NEIGHBOUR: Final = 20
_LEAST_NEIGHBOURS: Final = 2
# Words that many chunks have make few of them neighbours, and comparing them costs most of the time.
_MOST_IN: Final = 0.1
_FEW: Final = 100
_WORDS: Final = 30
# How much a chunk stays where it is.
_OWN: Final = 0.5
_BATCH: Final = 100


class Smoothed:
    """`rows`: of the space, ascending, all or an even sample; `vectors`: one for each, of unit length.

    `note`: is told how many rows have been compared.
    """

    def __init__(self, words: Any, meaning: Matrix, note: Callable[[int], None]) -> None:
        count = meaning.shape[0]
        size = min(count, MOST)
        self.rows: Numbers = np.arange(size, dtype=np.int64) * count // size
        sample = words if size == count else words[self.rows]
        own = meaning if size == count else meaning[self.rows]
        near = _neighbours(
            _telling(sample), min(_NEIGHBOURS, max(_LEAST_NEIGHBOURS, size // _CHUNKS_A_NEIGHBOUR)), note
        )
        self.vectors: Matrix = normalize(near @ own + np.float32(_OWN) * own, copy=False)

    def of(self, members: Numbers) -> tuple[Numbers, Matrix]:
        """Of some rows of the space, ascending: which of them (as places in `members`) there are, and their vectors."""
        places = np.searchsorted(self.rows, members).clip(max=len(self.rows) - 1)
        known = np.flatnonzero(self.rows[places] == members)
        return known, self.vectors[places[known]]


def _telling(words: Any) -> Any:
    """The heaviest words of each chunk, without those that many have."""
    count, width = words.shape
    often = np.bincount(words.indices, minlength=width)
    kept = (often <= max(_FEW, _MOST_IN * count))[words.indices]
    row = np.repeat(np.arange(count), np.diff(words.indptr))[kept]
    column, value = words.indices[kept], words.data[kept]
    order = np.lexsort((-value, row))
    row, column, value = row[order], column[order], value[order]
    begins = np.searchsorted(row, np.arange(count))
    heavy = np.arange(len(row)) - begins[row] < _WORDS
    return normalize(csr_matrix((value[heavy], (row[heavy], column[heavy])), shape=words.shape), copy=False)


def _neighbours(words: Any, most: int, note: Callable[[int], None]) -> Any:
    """Who is near whom, in both directions; what has many neighbours weighs less for each of them."""
    count = words.shape[0]
    turned = words.T.tocsr()
    near = np.empty((count, most), dtype=np.int32)
    alike = np.empty((count, most), dtype=np.float32)
    for start in range(0, count, _BATCH):
        end = min(count, start + _BATCH)
        likeness = (words[start:end] @ turned).toarray()
        near[start:end] = np.argpartition(-likeness, most - 1, axis=1)[:, :most]
        alike[start:end] = np.take_along_axis(likeness, near[start:end], 1)
        note(end)
    # Chunks without a word in common are no neighbours, however few there are.
    row, place = np.nonzero(alike > 0)
    one = csr_matrix((np.ones(len(row), dtype=np.float32), (row, near[row, place])), shape=(count, count))
    both = one.maximum(one.T)
    weight = diags(1 / np.sqrt(np.maximum(np.asarray(both.sum(axis=1)).ravel(), 1)), dtype=np.float32)
    return (weight @ both @ weight).tocsr()

"""The axes along which texts differ most, by their words: latent semantic analysis."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

# By this module alone: what is around it takes time to import, and would project all texts only to forget them.
from sklearn.utils.extmath import randomized_svd, svd_flip

_ROUNDS: Final = 5


def axes_of(words: Any, count: int, seed: int) -> NDArray[np.float32]:
    """`words`: sparse, one row a text; the answer has a row for each of `count` axes."""
    texts, _, axes = randomized_svd(words, count, n_iter=_ROUNDS, random_state=seed, flip_sign=False)
    # Which end of an axis is which is told by the axis itself.
    found: NDArray[np.float32] = svd_flip(texts, axes, u_based_decision=False)[1]
    return found

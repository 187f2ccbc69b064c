"""How good the tree is: figures that need no labels."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
from sklearn.metrics import silhouette_score

from worker.jobs.taxonomy_processing.tree import Category
from worker.jobs.taxonomy_processing.vectors import Space

_TOP: Final = 10
_SAMPLE: Final = 2000


@dataclass(frozen=True, slots=True)
class Measures:
    """`npmi`: how often the ten best words of a category stand in one chunk, -1 to 1; `diversity`: different words
    among all of these; `silhouette` of the first level, -1 to 1. None where there is nothing to measure."""

    npmi: float | None
    diversity: float | None
    silhouette: float | None

    @property
    def confidence(self) -> float | None:
        return None if self.silhouette is None else round((self.silhouette + 1) / 2, 4)

    def to_json(self) -> dict[str, float | None]:
        return {"npmi": self.npmi, "diversity": self.diversity, "silhouette": self.silhouette}


def measure(space: Space, root: Category, seed: int) -> Measures:
    leaves = [category for category in root.walk() if not category.children and category.keywords]
    tops = [[term for term, _ in category.keywords[:_TOP]] for category in leaves]
    words = [term for top in tops for term in top]
    diversity = round(len(set(words)) / len(words), 4) if words else None
    return Measures(_npmi(space, tops), diversity, _silhouette(space, root, seed))


def _npmi(space: Space, tops: list[list[str]]) -> float | None:
    columns = {term: number for number, term in enumerate(space.terms)}
    total = space.words.shape[0]
    found = []
    for top in tops:
        here = (space.words[:, [columns[term] for term in top if term in columns]] > 0).astype(np.float32)
        together = np.asarray((here.T @ here).todense()) / total
        found += [_of_pair(together, one, other) for one, other in combinations(range(together.shape[0]), 2)]
    return round(float(np.mean(found)), 4) if found else None


def _of_pair(together: np.ndarray[tuple[int, ...], np.dtype[np.float32]], one: int, other: int) -> float:
    both = float(together[one, other])
    if both <= 0:
        return -1.0
    if both >= 1:
        return 1.0
    return float(np.log(both / (together[one, one] * together[other, other])) / -np.log(both))


def _silhouette(space: Space, root: Category, seed: int) -> float | None:
    groups = [child.members for child in root.children if len(child.members) > 1]
    if len(groups) < 2:
        return None
    rows = np.concatenate(groups)
    labels = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    chosen = np.random.default_rng(seed).permutation(len(rows))[:_SAMPLE]
    if len(np.unique(labels[chosen])) < 2 or len(chosen) <= len(np.unique(labels[chosen])):
        return None
    return round(float(silhouette_score(space.meaning[rows[chosen]], labels[chosen], metric="cosine")), 4)

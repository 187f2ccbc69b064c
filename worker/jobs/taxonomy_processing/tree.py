"""The tree of categories: groups of chunks that mean the same, and groups within these."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from rapidfuzz import fuzz
from sklearn.cluster import KMeans

from worker.jobs.taxonomy_processing.arrays import Matrix, Numbers
from worker.jobs.taxonomy_processing.vectors import Space

# A group of this many chunks is the least for which a category of its own is worth while.
_CHUNKS_A_CATEGORY: Final = 8
# Where only a sample is smoothed: with fewer of it than this for each category all are looked at as they are.
_SAMPLED_A_CATEGORY: Final = 50
_STARTS: Final = 10
_SAME_NAME: Final = 90.0
# What a sibling has more of as well tells the less of a category.
_SHARED: Final = 0.5
NAMED_BY: Final = 3


@dataclass(slots=True)
class Category:
    """`members`: rows of the space; `keywords`: terms with weights, the best first. `name`, `description` and
    `threshold` are given, or come last. `is_given`: it is of the taxonomy to begin with, and keeps its name."""

    members: Numbers
    keywords: list[tuple[str, float]] = field(default_factory=list)
    children: list[Category] = field(default_factory=list)
    name: str = ""
    description: str = ""
    threshold: float | None = None
    id: str | None = None
    is_given: bool = False

    @property
    def label(self) -> str:
        """By which siblings are compared before they have names."""
        return " ".join(term for term, _ in self.keywords[:NAMED_BY])

    def walk(self) -> Iterator[Category]:
        """All below it, each before its children."""
        for child in self.children:
            yield child
            yield from child.walk()


class Grower:
    """`limits`: the most categories below one node, a number a level. `note`: is told chunks that are done."""

    def __init__(
        self, space: Space, limits: Sequence[int], least: int, keywords: int, seed: int, note: Callable[[int], None]
    ) -> None:
        self._space = space
        self._limits = limits
        self._least = least
        self._keywords = keywords
        self._seed = seed
        self._note = note
        self._done = 0

    def grow(self, parent: Category, level: int = 0) -> None:
        """Divide the category, and what comes of it, as often as there are levels."""
        groups = self._divide(parent.members, self._limits[level]) if level < len(self._limits) else []
        if len(groups) < 2:
            self._done += len(parent.members)
            return self._note(self._done)
        parent.children = self._merged([Category(group) for group in groups], parent)
        for child in parent.children:
            self.grow(child, level + 1)
        return None

    def label(self, siblings: Sequence[Category], parent: Category) -> None:
        """By the words that a category has more of than its parent, and more than its siblings."""
        siblings = [category for category in siblings if len(category.members)]
        more = [self._mean(category.members) - self._mean(parent.members) for category in siblings]
        for number, category in enumerate(siblings):
            others = [other for place, other in enumerate(more) if place != number]
            most = np.max(others, axis=0).clip(min=0) if others else np.float32(0)
            self._keep_best(category, more[number] - _SHARED * most)

    def _keep_best(self, category: Category, scores: Matrix) -> None:
        best = [int(column) for column in np.argsort(-scores, kind="stable")[: self._keywords] if scores[column] > 0]
        largest = float(scores[best[0]]) if best else 1.0
        category.keywords = [(self._space.terms[column], round(float(scores[column]) / largest, 4)) for column in best]

    def _mean(self, members: Numbers) -> Matrix:
        # Rows of the sparse matrix are not picked out: that would copy them.
        weights = np.zeros(self._space.words.shape[0], dtype=np.float32)
        weights[members] = 1 / len(members)
        mean: Matrix = self._space.words.T @ weights
        return mean

    def _divide(self, members: Numbers, most: int) -> list[Numbers]:
        count = min(most, len(members) // max(self._least, _CHUNKS_A_CATEGORY))
        if count < 2:
            return []
        labels = _without_small(*self._grouped(members, count), self._least)
        # The largest first; equal ones by their first chunk.
        groups = [members[labels == label] for label in np.unique(labels)]
        return sorted(groups, key=lambda group: (-len(group), int(group[0])))

    def _grouped(self, members: Numbers, count: int) -> tuple[Numbers, Matrix]:
        """A group for each member, and the sum of the vectors of each group."""
        known, vectors = self._space.smoothed.of(members)
        if len(known) < min(len(members), count * _SAMPLED_A_CATEGORY):
            known, vectors = np.arange(len(members)), self._space.meaning[members]
        found = KMeans(count, n_init=_STARTS, random_state=self._seed).fit_predict(vectors)
        if len(known) == len(members):
            labels = found
        else:
            middles = np.stack([self._space.middle(members[known[found == group]]) for group in range(count)])
            labels = np.argmax(self._space.alike(members, middles), axis=1)
            labels[known] = found
        return labels, np.stack([self._space.total(members[labels == group]) for group in range(count)])

    def _merged(self, siblings: list[Category], parent: Category) -> list[Category]:
        """Those with nearly the same words become one."""
        self.label(siblings, parent)
        kept: list[Category] = []
        for category in siblings:
            same = next((other for other in kept if _is_same(other, category)), None)
            if same is None:
                kept.append(category)
            else:
                same.members = np.sort(np.concatenate([same.members, category.members]))
        if len(kept) < len(siblings):
            self.label(kept, parent)
        return kept if len(kept) > 1 else []


def _without_small(labels: Numbers, totals: Matrix, least: int) -> Numbers:
    """Groups that are too small go to their nearest sibling, the smallest first."""
    sizes = np.bincount(labels, minlength=len(totals))
    while True:
        groups = np.flatnonzero(sizes)
        if len(groups) < 2 or sizes[groups].min() >= least:
            return labels
        smallest = groups[np.argmin(sizes[groups])]
        others = groups[groups != smallest]
        nearest = others[np.argmax((totals[others] / sizes[others, None]) @ totals[smallest])]
        labels = np.where(labels == smallest, nearest, labels)
        for of_group in (sizes, totals):
            of_group[nearest] += of_group[smallest]
            of_group[smallest] = 0


def _is_same(one: Category, other: Category) -> bool:
    return bool(one.label) and fuzz.token_sort_ratio(one.label, other.label) >= _SAME_NAME

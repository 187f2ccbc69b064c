"""From similarities to labels: how sure each category is among those beside it, and which of them count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from worker.jobs.extraction.categories import Category

Matrix = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]

TEMPERATURE: Final = 0.03
# Below this raw similarity a text belongs to no category.
LEAST_SIMILARITY: Final = 0.10


class Decision:
    """All matrices have a row for each text and a column for each category, in the order of `categories`, in which
    parents come before their children."""

    def __init__(self, categories: Sequence[Category], threshold: float, *, is_contextual: bool) -> None:
        self._categories = categories
        self._is_contextual = is_contextual
        self._thresholds = thresholds_of(categories, threshold)
        self._selected = np.array([c.is_selected for c in categories], dtype=np.bool_)
        self.groups = groups_of(categories)

    def confidences(self, similarities: Matrix) -> Matrix:
        """Softmax over siblings; a category without siblings stands against the least similarity."""
        found = np.zeros_like(similarities)
        for group in self.groups:
            part = similarities[:, group]
            if len(group) == 1:
                part = np.column_stack([part, np.full(len(part), LEAST_SIMILARITY, dtype=np.float32)])
            powers = np.exp((part - part.max(axis=1, keepdims=True)) / np.float32(TEMPERATURE))
            found[:, group] = (powers / powers.sum(axis=1, keepdims=True))[:, : len(group)]
        found[similarities < LEAST_SIMILARITY] = 0
        return found

    def margins(self, confidences: Matrix) -> Matrix:
        """How much more than the best of its siblings each category has."""
        found = np.array(confidences)
        for group in self.groups:
            if len(group) > 1:
                part = confidences[:, group]
                best_two = np.sort(part, axis=1)[:, -2:]
                is_best = part == best_two[:, 1:]
                found[:, group] = part - np.where(is_best, best_two[:, :1], best_two[:, 1:])
        return found

    def passing(self, confidences: Matrix) -> Flags:
        passing: Flags = (confidences >= self._thresholds) & (confidences > 0)
        if self._is_contextual:
            for category in self._categories:
                if category.parent is not None:
                    passing[:, category.index] &= passing[:, category.parent]
        return passing

    def wanted(self, passing: Flags) -> Flags:
        """Of what passes what was asked for, and of each branch the most specific: its path names those above it."""
        wanted = passing & self._selected
        below = np.zeros_like(wanted)
        for category in reversed(self._categories):
            if category.parent is not None:
                below[:, category.parent] |= wanted[:, category.index] | below[:, category.index]
        return wanted & ~below


def thresholds_of(categories: Sequence[Category], threshold: float) -> Matrix:
    """A category's own one wins when it is higher."""
    return np.array([max(threshold, c.threshold or 0.0) for c in categories], dtype=np.float32)


def groups_of(categories: Sequence[Category]) -> list[npt.NDArray[np.intp]]:
    """The numbers of the categories that have the same parent."""
    groups: dict[int | None, list[int]] = {}
    for category in categories:
        groups.setdefault(category.parent, []).append(category.index)
    return [np.array(group, dtype=np.intp) for group in groups.values()]

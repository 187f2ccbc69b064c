"""A taxonomy to begin with: its categories, and which chunks belong to them."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from worker.context import JobContext
from worker.jobs.shared import reading
from worker.jobs.shared.taxonomy import Node, weighted
from worker.jobs.taxonomy_processing.arrays import Matrix
from worker.jobs.taxonomy_processing.parameters import Parameters
from worker.jobs.taxonomy_processing.tree import Category
from worker.jobs.taxonomy_processing.vectors import Space, parts
from worker.jobs.taxonomy_processing.words import words_of

# Less alike than this a text has nothing to do with a category.
_LEAST_ALIKE: Final = 0.10


def load(ctx: JobContext, parameters: Parameters) -> Node | None:
    """None when there is no such taxonomy. Raises PermanentError, see `reading.taxonomy`."""
    field = "extend_taxonomy" if parameters.base_taxonomy is None else "base_taxonomy"
    return None if parameters.given is None else reading.taxonomy(ctx, parameters.given, field)


def fill(space: Space, parent: Category, node: Node) -> None:
    """Give the parent's chunks to the children of `node` by likeness; those that are like none stay where they are."""
    if not node.children:
        return
    words, meaning = space.vectors([_profile(child) for child in node.children])
    best = np.concatenate(
        [_best(space, rows, words, meaning) for rows in parts(parent.members)] or [np.zeros(0, dtype=np.int64)]
    )
    for number, child in enumerate(node.children):
        category = Category(
            parent.members[best == number],
            # They stay where there are no chunks to find others in.
            keywords=[(keyword.term, keyword.weight) for keyword in child.keywords],
            name=child.name,
            description=child.description,
            threshold=child.confidence_threshold,
            id=child.id,
            is_given=True,
        )
        parent.children.append(category)
        fill(space, category, child)


def _best(space: Space, rows: Any, words: Matrix, meaning: Matrix) -> Any:
    """The number of the child for each row, -1 for none."""
    alike = np.asarray(space.words[rows] @ words.T) + space.meaning[rows] @ meaning.T
    best = np.argmax(alike, axis=1)
    return np.where(alike[np.arange(len(rows)), best] >= _LEAST_ALIKE, best, -1)


def _profile(node: Node) -> dict[str, float]:
    """The words of its name twice, of its description once, its keywords by their weight, of which the largest is 1; of
    those below it half."""
    profile: dict[str, float] = {}
    keywords = weighted([(keyword.term, keyword.weight) for keyword in node.keywords])
    parts = [(node.name, 2.0), (node.description, 1.0), *keywords]
    for text, weight in parts:
        for word in words_of(text):
            profile[word] = profile.get(word, 0.0) + weight
    for child in node.children:
        for word, weight in _profile(child).items():
            profile[word] = profile.get(word, 0.0) + weight / 2
    return profile

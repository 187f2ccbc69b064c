"""Records made of the texts alone: each answer is a part of its source."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Final

from worker.jobs.dataset_generation import tasks
from worker.jobs.dataset_generation.model import Draft, Item
from worker.jobs.dataset_generation.tasks import Reading
from worker.jobs.dataset_generation.terms import Weights

Task = Callable[[Reading], Iterator[Draft]]

TASKS: Final[dict[str, tuple[Task, ...]]] = {
    "instruction": (
        tasks.about,
        tasks.key_points,
        tasks.terms,
        tasks.cloze,
        tasks.heading,
        tasks.entities,
        tasks.classification,
    ),
    "qa": (tasks.about_question, tasks.heading, tasks.entities),
    "summarization": (tasks.summary,),
    "classification": (tasks.classification,),
    "completion": (tasks.completion,),
}


class OfflineGenerator:
    """`most`: drafts of one item. Which tasks come first, and how they ask, varies with `seed` and the chunk's id."""

    def __init__(self, mode: str, seed: int, most: int, weights: Weights) -> None:
        self._tasks = TASKS[mode]
        self._seed = seed
        self._most = most
        self._weights = weights

    def drafts(self, items: Sequence[Item]) -> list[list[Draft]]:
        return [list(islice(self._of(item), self._most)) for item in items]

    def _of(self, item: Item) -> Iterator[Draft]:
        chance = random.Random(f"{self._seed}:{item.chunk_id}")
        reading = Reading(item, self._weights, chance)
        order = chance.sample(self._tasks, len(self._tasks))
        return _in_turn([task(reading) for task in order])


def _in_turn(sources: list[Iterator[Draft]]) -> Iterator[Draft]:
    """One of each, then the second of each, and so on; nothing is made before it is asked for."""
    waiting = deque(sources)
    while waiting:
        source = waiting.popleft()
        draft = next(source, None)
        if draft is not None:
            waiting.append(source)
            yield draft

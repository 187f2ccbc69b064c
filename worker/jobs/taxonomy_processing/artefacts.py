"""The files of the job: `taxonomy.json`, `assignments.jsonl`, `errors.jsonl` in mode `llm`, last `manifest.json`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from worker.jobs.shared.failures import ERRORS
from worker.jobs.shared.files import Record
from worker.jobs.shared.reading import TAXONOMY
from worker.jobs.shared.taxonomy import Node
from worker.jobs.taxonomy_processing.corpus import Corpus
from worker.jobs.taxonomy_processing.names import Namer
from worker.jobs.taxonomy_processing.tree import Category
from worker.jobs.taxonomy_processing.vectors import Space

ASSIGNMENTS: Final = "assignments.jsonl"
PUBLISHED: Final = (TAXONOMY, ASSIGNMENTS, ERRORS)

Path_ = tuple[str, ...]


def node_of(category: Category, path: Path_, namer: Namer) -> dict[str, Any]:
    """`id`: of the path of names as they are in the file, a model's too, unless it was given. So it can be found out
    from the path alone, by those who read assignments or write a taxonomy by hand; of the names that the category had
    before, which no file tells, it could not. Names that a model words otherwise another time are other categories.
    """
    return {
        "id": category.id or Node.stable_id(path),
        "name": category.name,
        "description": category.description,
        "confidence_threshold": category.threshold,
        "keywords": [{"term": term, "weight": weight} for term, weight in category.keywords],
        "examples": [chunk.chunk_id for chunk in namer.examples(category)],
        "size": len(category.members),
        "children": [node_of(child, (*path, child.name), namer) for child in category.children],
    }


class Assignments:
    """Which category each row belongs to: the lowest one."""

    def __init__(self, space: Space, root: Category) -> None:
        count = space.meaning.shape[0]
        self._of = np.full(count, -1, dtype=np.int64)
        self._alike = np.zeros(count, dtype=np.float32)
        self._places: list[tuple[str, Path_]] = []
        self._take(space, root, ())

    @property
    def unassigned(self) -> int:
        return int((self._of < 0).sum())

    def records(self, corpus: Corpus) -> Iterator[Record]:
        """In the order of the source, duplicates like what they repeat."""
        rows = {number: row for row, number in enumerate(corpus.numbers)}
        for chunk in corpus.all():
            row = rows.get(corpus.same.get(chunk.number, chunk.number))
            if row is None or self._of[row] < 0:
                continue
            category_id, path = self._places[self._of[row]]
            yield {
                "chunk_id": chunk.chunk_id,
                "category_id": category_id,
                "path": list(path),
                "similarity": round(float(self._alike[row]), 4),
            }

    def _take(self, space: Space, parent: Category, above: Path_) -> None:
        for category in parent.children:
            path = (*above, category.name)
            if len(category.members):
                self._of[category.members] = len(self._places)
                self._alike[category.members] = space.alike(category.members, space.middle(category.members))
            self._places.append((category.id or Node.stable_id(path), path))
            self._take(space, category, path)

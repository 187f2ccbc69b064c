"""What occurs together: normalised pointwise mutual information over chunks."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy.sparse import csr_matrix, triu

from worker.jobs.shared.files import Record

LEAST_CHUNKS: Final = 3
MOST_ITEMS: Final = 2000


def relations(extractions: Path, chunks: int) -> Iterator[Record]:
    """Of all pairs that at least three of `chunks` chunks have and that are met together more often than by chance,
    closest first. An item is a category, told by its path, or the text of an entity with its type before it; the
    2,000 most frequent ones are looked at."""
    counts: Counter[str] = Counter()
    for items in _items_by_chunk(extractions):
        counts.update(items)
    frequent = sorted((item for item, n in counts.items() if n >= LEAST_CHUNKS), key=lambda item: (-counts[item], item))
    names = sorted(frequent[:MOST_ITEMS])
    yield from sorted(_related(extractions, names, counts, chunks), key=lambda r: (-float(r["npmi"]), r["a"], r["b"]))


def _related(extractions: Path, names: list[str], counts: Counter[str], chunks: int) -> Iterator[dict[str, Any]]:
    together = triu(_together(extractions, names), k=1).tocoo()
    for row, column, count in zip(together.row.tolist(), together.col.tolist(), together.data.tolist(), strict=True):
        a, b = names[row], names[column]
        if count >= LEAST_CHUNKS:
            npmi = normalised(count / chunks, counts[a] / chunks, counts[b] / chunks)
            if npmi > 0:
                yield {"a": a, "b": b, "npmi": round(npmi, 4), "chunks": count}


def normalised(both: float, a: float, b: float) -> float:
    """NPMI of probabilities, -1 to 1; of what is in every chunk 0, because that tells nothing."""
    return 0.0 if both >= 1 else math.log(both / (a * b)) / -math.log(both)


def _together(extractions: Path, names: list[str]) -> Any:
    """In how many chunks each two items are."""
    numbers = {name: number for number, name in enumerate(names)}
    columns: list[int] = []
    ends = [0]
    for items in _items_by_chunk(extractions):
        columns += sorted(numbers[item] for item in items if item in numbers)
        ends.append(len(columns))
    ones = np.ones(len(columns), dtype=np.int32)
    found = csr_matrix((ones, columns, ends), shape=(len(ends) - 1, len(names)))
    return found.T @ found


def _items_by_chunk(extractions: Path) -> Iterator[set[str]]:
    """The lines of a chunk stand together."""
    chunk_id, items = None, set[str]()
    with extractions.open("rb") as lines:
        for line in map(json.loads, lines):
            if line["chunk_id"] != chunk_id:
                yield items
                chunk_id, items = line["chunk_id"], set()
            path = "/".join(line["category_path"])
            is_text = line["type"] == "whole_text"
            items.add(path if is_text else f"{line['type']}:{' '.join(line['text'].lower().split())}")
    yield items

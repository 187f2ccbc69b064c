"""The categories of the job: the taxonomy's tree as a list, parents before children, and which of them are wanted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from worker.jobs.shared.selection import selected_paths
from worker.jobs.shared.taxonomy import Node, categories_in, weighted


@dataclass(frozen=True, slots=True)
class Category:
    """`index`: its place in the list; `parent`: that of its parent, None on the first level; `path`: names from the
    first level down; `is_selected`: whether results are wanted."""

    index: int
    parent: int | None
    id: str
    path: tuple[str, ...]
    description: str
    threshold: float | None
    keywords: tuple[tuple[str, float], ...]
    is_selected: bool

    @property
    def name(self) -> str:
        return self.path[-1]

    @property
    def terms(self) -> list[str]:
        """What tells of the category when it occurs in a text."""
        return [self.name, *(term for term, _ in self.keywords)]

    @property
    def weighted_keywords(self) -> Iterator[tuple[str, float]]:
        """See `weighted`."""
        return weighted(self.keywords)


def categories_of(root: Node, selected: Sequence[str] | None, depth: int) -> list[Category]:
    """Down to `depth` levels of a taxonomy. Raises InputError, see `selected_paths`."""
    wanted = None if selected is None else selected_paths(selected, categories_in(root), depth)
    return list(_flatten([(path, node) for path, node in root.walk() if len(path) <= depth], wanted))


def _flatten(
    tree: Sequence[tuple[tuple[str, ...], Node]], wanted: Sequence[tuple[str, ...]] | None
) -> Iterator[Category]:
    numbers = {path: number for number, (path, _) in enumerate(tree)}
    for path, node in tree:
        yield Category(
            index=numbers[path],
            parent=numbers.get(path[:-1]),
            id=_id(path, node),
            path=path,
            description=node.description,
            threshold=node.confidence_threshold,
            keywords=tuple((keyword.term, keyword.weight) for keyword in node.keywords),
            is_selected=wanted is None or any(path[: len(top)] == top for top in wanted),
        )


def _id(path: tuple[str, ...], node: Node) -> str:
    return node.id or node.stable_id(path)

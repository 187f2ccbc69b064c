"""The categories of the job: the taxonomy's tree as a list, parents before children, and which of them are asked for.

Light: the server looks at taxonomies that come with the request.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from worker.jobs.shared.errors import InputError
from worker.jobs.shared.taxonomy import Node

_SUGGESTIONS: Final = 3
_LEAST_ALIKE: Final = 60.0


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
        """The largest weight is 1."""
        largest = max((weight for _, weight in self.keywords), default=0.0)
        return ((term, weight / largest) for term, weight in self.keywords if weight > 0)


def categories_of(root: Node, selected: Sequence[str] | None, depth: int) -> list[Category]:
    """Down to `depth` levels of a taxonomy. Raises InputError `unknown_category` or `ambiguous_category`."""
    tree = list(root.walk())
    wanted = None if selected is None else [_resolve(name, tree, depth) for name in selected]
    return list(_flatten([(path, node) for path, node in tree if len(path) <= depth], wanted))


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


def _resolve(name: str, tree: Sequence[tuple[tuple[str, ...], Node]], depth: int) -> tuple[str, ...]:
    """The path of the category that is meant by an id, a path or a name."""
    found = [path for path, node in tree if _id(path, node) == name] or [p for p, _ in tree if "/".join(p) == name]
    found = found or [path for path, _ in tree if path[-1].lower() == name.strip().lower()]
    if len(found) > 1:
        paths = ", ".join(f"'{'/'.join(path)}'" for path in found[:20])
        raise InputError("ambiguous_category", f"'{name[:200]}' is the name of several categories: {paths}.")
    if not found:
        raise InputError("unknown_category", f"There is no category '{name[:200]}'.{_suggestion(name, tree)}")
    if len(found[0]) > depth:
        message = f"The category '{'/'.join(found[0])}' lies deeper than extraction_depth, which is {depth}."
        raise InputError("unknown_category", message)
    return found[0]


def _suggestion(name: str, tree: Sequence[tuple[tuple[str, ...], Node]]) -> str:
    try:
        from rapidfuzz import fuzz, process, utils
    except ModuleNotFoundError:  # a server without the extra
        return ""
    paths = ["/".join(path) for path, _ in tree]
    options = dict.fromkeys([*paths, *(path[-1] for path, _ in tree)])
    alike = process.extract(
        name, list(options), scorer=fuzz.WRatio, processor=utils.default_process, score_cutoff=_LEAST_ALIKE
    )
    names = ", ".join(f"'{option}'" for option, _, _ in alike[:_SUGGESTIONS])
    return f" Did you mean {names}?" if names else ""

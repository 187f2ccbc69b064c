"""A taxonomy as a file or a request gives it. Light: the server looks at those that come with a request."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from worker.jobs.shared.refusals import Location, Mistake, first_of

# Of categories, one below the other.
MOST_LEVELS: Final = 10
_MISMATCH: Final = "schema_mismatch"
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")

# Names from the first level down.
Path_ = tuple[str, ...]


def _check_names(names: list[str]) -> list[str]:
    for place, name in enumerate(names, 1):
        if not name.strip() or _CONTROL.search(name):
            raise ValueError(f"number {place} is blank or has control characters")
    return names


# By id, name or path `a/b`.
CategoryNames = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=1024)]],
    Field(min_length=1, max_length=1000),
    AfterValidator(_check_names),
]


def check_name(name: str) -> str:
    """The name, of a category or of the root. Raises ValueError."""
    if not name.strip():
        raise ValueError("must not be blank")
    # In an id that is made of names a line is a level.
    if _CONTROL.search(name):
        raise ValueError("must not have control characters")
    return name


class TaxonomyError(Exception):
    """`mistakes`: what is wrong, at least one and the first of many; the places are in the JSON that was given."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        super().__init__(mistakes[0].text)
        self.mistakes = tuple(mistakes)


class Keyword(BaseModel):
    model_config = ConfigDict(frozen=True)

    term: Annotated[str, Field(min_length=1, max_length=255)]
    weight: float = Field(1.0, ge=0, allow_inf_nan=False)


class Node(BaseModel):
    """Only `name` is required; what else is in the file is of no use here."""

    model_config = ConfigDict(frozen=True)

    name: Annotated[str, Field(max_length=255), AfterValidator(check_name)]
    id: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    description: str = ""
    confidence_threshold: float | None = Field(None, ge=0, le=1)
    keywords: tuple[Keyword, ...] = ()
    children: tuple[Node, ...] = ()

    @staticmethod
    def stable_id(path: Path_) -> str:
        """The same for the same names."""
        return hashlib.sha256("\n".join(path).encode()).hexdigest()[:12]

    def walk(self, above: Path_ = ()) -> Iterator[tuple[Path_, Node]]:
        """All below the root with the path of their names, each before its children."""
        for child in self.children:
            path = (*above, child.name)
            yield path, child
            yield from child.walk(path)


def root_of(data: Any) -> Node:
    """The root of a taxonomy that has categories, of different paths and ids; `data` is the JSON of `taxonomy.json` or
    of a root itself. Raises TaxonomyError."""
    inner = data.get("taxonomy") if isinstance(data, dict) else None
    above: Location = ("taxonomy",) if isinstance(inner, dict) else ()
    given = inner if isinstance(inner, dict) else data
    too_deep = _first_too_deep(given)
    if too_deep is not None:
        text = f"categories lie more than {MOST_LEVELS} levels deep"
        raise TaxonomyError([Mistake(_MISMATCH, (*above, *too_deep), text)])
    try:
        # As JSON, so that mistakes are told in its words.
        root = Node.model_validate_json(json.dumps(given))
    except RecursionError:
        raise TaxonomyError([Mistake(_MISMATCH, above, "something else in it is nested too deeply")]) from None
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        told = (
            Mistake(_MISMATCH, (*above, *mistake["loc"]), mistake["msg"].removeprefix("Value error, "))
            for mistake in found
        )
        raise TaxonomyError(first_of(told)) from None
    if not root.children:
        raise TaxonomyError([Mistake("no_categories", (*above, "children"), "there are no categories below the root")])
    repeated = first_of(_repeated(root, above))
    if repeated:
        raise TaxonomyError(repeated)
    return root


def categories_in(root: Node) -> list[tuple[str, Path_]]:
    """Ids and paths of all below the root, each before its children."""
    return [(node.id or Node.stable_id(path), path) for path, node in root.walk()]


def weighted(keywords: Sequence[tuple[str, float]]) -> Iterator[tuple[str, float]]:
    """Those that count, with weights of which the largest is 1."""
    largest = max((weight for _, weight in keywords), default=0.0)
    return ((term, weight / largest) for term, weight in keywords if weight > 0)


def _first_too_deep(root: Any) -> Location | None:
    """Step by step: what is nested without end must not end here."""
    level: list[tuple[Location, Any]] = [((), root)]
    for _ in range(MOST_LEVELS + 1):
        level = [
            ((*place, "children", number), child)
            for place, node in level
            for number, child in enumerate(_children(node))
        ]
        if not level:
            return None
    return level[0][0]


def _children(node: Any) -> list[Any]:
    children = node.get("children") if isinstance(node, dict) else None
    return children if isinstance(children, list) else []


def _repeated(root: Node, above: Location) -> Iterator[Mistake]:
    placed = list(_placed(root, above, ()))
    paths: set[str] = set()
    for place, path, _ in placed:
        told = "/".join(path)
        if told in paths:
            yield Mistake(_MISMATCH, (*place, "name"), f"there are two categories '{told[:200]}'")
        paths.add(told)
    if not any(node.id for _, _, node in placed):
        return
    of_id: dict[str, Path_] = {}
    for place, path, node in placed:
        key = node.id or Node.stable_id(path)
        if of_id.setdefault(key, path) != path:
            yield Mistake(_MISMATCH, (*place, "id"), f"there are two categories with the id '{key}'")


def _placed(node: Node, place: Location, above: Path_) -> Iterator[tuple[Location, Path_, Node]]:
    for number, child in enumerate(node.children):
        inside, path = (*place, "children", number), (*above, child.name)
        yield inside, path, child
        yield from _placed(child, inside, path)

"""A taxonomy as a file or a request gives it. Light: the server looks at those that come with a request."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _check_names(names: list[str]) -> list[str]:
    for place, name in enumerate(names, 1):
        if not name.strip() or re.search("[\x00-\x1f\x7f]", name):
            raise ValueError(f"number {place} is blank or has control characters")
    return names


# By id, name or path `a/b`.
CategoryNames = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=1024)]],
    Field(min_length=1, max_length=1000),
    AfterValidator(_check_names),
]


class Keyword(BaseModel):
    model_config = ConfigDict(frozen=True)

    term: Annotated[str, Field(min_length=1, max_length=255)]
    weight: float = Field(1.0, ge=0, allow_inf_nan=False)


class Node(BaseModel):
    """Only `name` is required; what else is in the file is of no use here."""

    model_config = ConfigDict(frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=255, pattern=r"\S")]
    id: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    description: str = ""
    confidence_threshold: float | None = Field(None, ge=0, le=1)
    keywords: tuple[Keyword, ...] = ()
    children: tuple[Node, ...] = ()

    @classmethod
    def of(cls, data: Any) -> Self:
        """The root, from the JSON of `taxonomy.json` or from a root itself. Raises ValidationError."""
        inner = data.get("taxonomy") if isinstance(data, dict) else None
        return cls.model_validate(inner if isinstance(inner, dict) else data)

    @staticmethod
    def stable_id(path: tuple[str, ...]) -> str:
        """The same for the same names."""
        return hashlib.sha256("\n".join(path).encode()).hexdigest()[:12]

    def walk(self, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Node]]:
        """All below the root with the path of their names, each before its children."""
        for child in self.children:
            path = (*above, child.name)
            yield path, child
            yield from child.walk(path)


def check_names(root: Node) -> str | None:
    """What is wrong with names or ids: two of one name below one node, or two of one id."""
    paths: set[tuple[str, ...]] = set()
    ids: set[str] = set()
    for path, node in root.walk():
        key = node.id or Node.stable_id(path)
        if path in paths:
            return f"there are two categories '{'/'.join(path)[:200]}'"
        if key in ids:
            return f"there are two categories with the id '{key}'"
        paths.add(path)
        ids.add(key)
    return None

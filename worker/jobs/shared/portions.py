"""Texts that are worked on together: so many, or as many as are not too long together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

T = TypeVar("T")

MOST_CHARACTERS: Final = 4_000_000


def portions(items: Iterable[T], most: int, length: Callable[[T], int]) -> Iterator[list[T]]:
    """In their order. `length`: of an item, in characters; one that is longer than all may be ends its portion."""
    portion, total = list[T](), 0
    for item in items:
        portion.append(item)
        total += length(item)
        if len(portion) == most or total >= MOST_CHARACTERS:
            yield portion
            portion, total = [], 0
    if portion:
        yield portion

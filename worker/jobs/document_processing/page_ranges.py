"""Pages as people write them, such as "1-20,25". Light: the server uses it at submit."""

from __future__ import annotations

import re

_RANGE = re.compile(r"([0-9]{1,6})(?:-([0-9]{1,6}))?")


def parse_ranges(text: str) -> list[tuple[int, int]]:
    """(first, last) of each range, counting from 1. Raises ValueError."""
    ranges = []
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        if not match:
            raise ValueError("must be pages and ranges of pages, such as '1-20,25'")
        first, last = int(match[1]), int(match[2] or match[1])
        if not 1 <= first <= last:
            raise ValueError(f"'{part.strip()}' is no range of pages; they count from 1, the smaller number first")
        ranges.append((first, last))
    return ranges


def choose(ranges: list[tuple[int, int]], count: int) -> list[int]:
    """The indexes, from 0, of those of `count` pages that are in any range."""
    return sorted({page - 1 for first, last in ranges for page in range(first, min(last, count) + 1)})

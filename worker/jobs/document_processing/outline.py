"""Where the entries of a PDF's outline stand on their pages."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NUMBER = re.compile(
    r"(?:(?:chapter|appendix|part|section) (?:\d{1,4}|[a-z]|[ivxlc]{1,7})|\d{1,4}|[a-z](?=\.)|[ivxlc]{1,7}(?=[.:)]))"
    r"(?:\.\d{1,4})*[.:)]? "
)
_MOST_LINES = 3


@dataclass(frozen=True, slots=True)
class Entry:
    """`level` is 1 to 6, `page` counts from 0."""

    level: int
    title: str
    page: int


@dataclass(frozen=True, slots=True)
class PlacedHeading:
    """A heading that takes up `lines` lines of its page from `line` on; `title` is in the page's own words."""

    line: int
    lines: int
    level: int
    title: str


def place_headings(pages: list[list[str]], entries: list[Entry]) -> list[list[PlacedHeading]]:
    """For each page its headings from top to bottom. Entries whose title is not found there are left out."""
    by_page: dict[int, list[Entry]] = {}
    for entry in entries:
        by_page.setdefault(entry.page, []).append(entry)
    return [_place_on_page(lines, by_page.get(number, [])) for number, lines in enumerate(pages)]


def plain(title: str) -> str:
    """For comparison: one space between words, small letters."""
    return " ".join(title.split()).casefold()


def _place_on_page(lines: list[str], entries: list[Entry]) -> list[PlacedHeading]:
    placed: list[PlacedHeading] = []
    search_from = 0
    for entry in entries:
        heading = _find(lines, entry, search_from)
        if heading is not None:
            placed.append(heading)
            search_from = heading.line + heading.lines
    return placed


def _find(lines: list[str], entry: Entry, search_from: int) -> PlacedHeading | None:
    wanted = {plain(entry.title), _without_number(plain(entry.title))}
    for first in range(search_from, len(lines)):
        if not lines[first].strip():
            continue
        for count in range(1, _MOST_LINES + 1):
            title = " ".join(" ".join(lines[first : first + count]).split())
            if plain(title) in wanted or _without_number(plain(title)) in wanted:
                return PlacedHeading(first, count, entry.level, title)
    return None


def _without_number(title: str) -> str:
    return _NUMBER.sub("", title, count=1) if _NUMBER.match(title) else title

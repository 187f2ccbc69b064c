"""Head and foot lines that repeat from page to page. They are left out before any offset is counted."""

from __future__ import annotations

import re
from collections import Counter

_EDGE = 2
# On shorter pages or in shorter documents, a repeated line may well be what the document has to say.
_MIN_LINES = 8
_MIN_PAGES = 4
_DIGITS = re.compile(r"\d+")


def strip_repeated(pages: list[list[str]], keep: set[str]) -> list[list[str]]:
    """Without those of the first and last two lines that more than half of the full pages share, but for their numbers.

    `keep`: lines, folded and with single spaces, that stay in any case.
    """
    full = [lines for lines in pages if _is_full(lines)]
    if len(full) < _MIN_PAGES:
        return pages
    shared = Counter(form for lines in full for form in _edge_forms(lines))
    repeated = {form for form, count in shared.items() if 2 * count > len(full)}
    repeated -= {_DIGITS.sub("#", title) for title in keep}
    return [_strip(lines, repeated) if _is_full(lines) else lines for lines in pages]


def _is_full(lines: list[str]) -> bool:
    return sum(1 for line in lines if line.strip()) >= _MIN_LINES


def _edge(lines: list[str]) -> set[int]:
    filled = [index for index, line in enumerate(lines) if line.strip()]
    return {*filled[:_EDGE], *filled[-_EDGE:]}


def _edge_forms(lines: list[str]) -> set[str]:
    """Forms that only the edge of the page has: what its body has too, such as rows of a table, is no head or foot."""
    edge = _edge(lines)
    body = {_form(line) for index, line in enumerate(lines) if index not in edge}
    return {_form(lines[index]) for index in edge} - body


def _form(line: str) -> str:
    return _DIGITS.sub("#", " ".join(line.split()).casefold())


def _strip(lines: list[str], repeated: set[str]) -> list[str]:
    dropped = {index for index in _edge(lines) if _form(lines[index]) in repeated}
    return [line for index, line in enumerate(lines) if index not in dropped]

"""Regular expressions of users, in the syntax of the `regex` library. Light: the server looks at them at submit."""

from __future__ import annotations

import math
import re
from typing import Any, Final

# A pattern that calls itself takes all memory before any time limit ends it.
_CALLS: Final = re.compile(r"\(\?(?:R|[+-]?\d+|&\w+|P>\w+)\)")
# The library writes out what must be repeated, in 270 bytes for each item, before there is anything to limit.
_MOST_ITEMS: Final = 100_000
_ESCAPE: Final = re.compile(r"\\.", re.DOTALL)
# Without anything that could be taken for more than a class, wherever it stands.
_CLASS: Final = re.compile(r"\[[^][(){}#]*]")
_TOKEN: Final = re.compile(r"\{([^{}]*)}|.", re.DOTALL)
_BRACES: Final = re.compile(r"\{([^}]*)")
_UNCLEAR: Final = frozenset("[]#")
# The server can do nothing else meanwhile, and a request may have many patterns; nearly all need microseconds.
_SECONDS: Final = 0.01
# They belong to the item before them.
_BESIDE: Final = "*+?"


def compiled(value: str, *, by_line: bool = False) -> Any:
    """The pattern. `by_line`: ^ and $ are those of lines. Raises ValueError for what is none or may not be used,
    ImportError without the library."""
    import regex

    if _CALLS.search(value):
        raise ValueError("must not call itself or its groups")
    if _items(value) > _MOST_ITEMS:
        raise ValueError("repeats too much; ask for fewer repetitions")
    try:
        # The library's cache would keep the last 500, whose size is only limited one by one.
        return regex.compile(value, regex.VERSION0 | (regex.MULTILINE if by_line else 0), cache_pattern=False)
    except (regex.error, OverflowError, RecursionError, MemoryError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"is no regular expression: {error}") from None


def matches_nothing(pattern: Any) -> bool:
    """Whether an empty text is a match. Raises ValueError when that takes too long."""
    try:
        return pattern.fullmatch("", timeout=_SECONDS) is not None
    except (TimeoutError, MemoryError):
        raise ValueError("takes too long, even for an empty text") from None


def _items(value: str) -> int:
    """How many there may be once all is written out: never too few, and seldom too many."""
    plain = _CLASS.sub("x", _ESCAPE.sub("x", value))
    if _UNCLEAR & set(plain):
        # As if each repetition stood inside of all others.
        return len(value) * math.prod(map(_count, _BRACES.findall(plain)))
    # Of each open group the items before its last one, and those of that one.
    groups = [[0, 0]]
    for token in _TOKEN.finditer(plain):
        before, last = groups[-1]
        if token[1] is not None:
            # Braces that ask for no repetition are characters.
            groups[-1] = [before + len(token[0]), max(last, 1) * _count(token[1].partition(",")[0])]
        elif token[0] == "(":
            groups.append([0, 0])
        elif token[0] == ")" and len(groups) > 1:
            groups.pop()
            groups[-1] = [sum(groups[-1]), before + last + 1]
        elif token[0].isspace():
            # An item, or in verbose patterns nothing: then what follows repeats the item before it.
            groups[-1][0] += 1
        elif token[0] not in _BESIDE:
            groups[-1] = [before + last, 1]
    return sum(map(sum, groups))


def _count(inside: str) -> int:
    """Of braces, as far as the comma. In verbose patterns blanks may stand between the figures."""
    return max(1, int("".join(filter(str.isdecimal, inside)) or 1))

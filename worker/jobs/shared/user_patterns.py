"""Regular expressions of users, in the syntax of the `regex` library. Light: the server looks at them at submit."""

from __future__ import annotations

import math
import re
from typing import Any, Final

# A pattern that calls itself takes all memory before any time limit ends it.
_CALLS: Final = re.compile(r"\(\?(?:R|[+-]?\d+|&\w+|P>\w+)\)")
# The library writes out what must be repeated, in 270 bytes for each character, before there is anything to limit.
_REPEATED: Final = re.compile(r"\{([^,}]*)")
_MOST_WRITTEN_OUT: Final = 500_000


def compiled(value: str, *, by_line: bool = False) -> Any:
    """The pattern. `by_line`: ^ and $ are those of lines. Raises ValueError for what is none or may not be used,
    ImportError without the library."""
    import regex

    if _CALLS.search(value):
        raise ValueError("must not call itself or its groups")
    if len(value) * _repetitions(value) > _MOST_WRITTEN_OUT:
        raise ValueError("repeats too much; ask for fewer repetitions")
    try:
        return regex.compile(value, regex.VERSION0 | (regex.MULTILINE if by_line else 0))
    except (regex.error, OverflowError, RecursionError, MemoryError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"is no regular expression: {error}") from None


def _repetitions(value: str) -> int:
    """How often a part of it may have to be repeated: as if each of its repetitions stood inside of all others."""
    # In verbose patterns blanks may stand between the figures.
    numbers = ("".join(filter(str.isdecimal, inside)) for inside in _REPEATED.findall(value))
    return math.prod(max(1, int(number)) for number in numbers if number)

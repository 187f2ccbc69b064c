"""Where a text turns to another matter according to a model: its words are looked for there, or not believed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from worker.jobs.shared.llm.quotes import find_quote

# About three thousand tokens.
WINDOW: Final = 12_000
# Of what stands before a window.
_CONTEXT: Final = 500
_ENDS: Final = ("\n\n", "\n", ". ", " ")
# So many characters are no coincidence, wherever they stand.
_TELLING: Final = 20
_LONGEST: Final = 300
_MOST: Final = 1000
_MARKS: Final = re.compile(r"[\W\d_]*")
_END_OF_SENTENCE: Final = re.compile(r"(?:[.!?…]['\"”’)\]]*\s+|[。！？]['\"”’）」]*\s*)")
# Scripts from here on write no blanks between words.
_FIRST_WITHOUT_BLANKS: Final = "\u2e80"


class Window(NamedTuple):
    """`text` begins at `start` of the whole text; `before` is the end of what comes before it."""

    start: int
    text: str
    before: str


def windows(text: str) -> Iterator[Window]:
    """Parts of a size that fits into a prompt, in order, without those that are blank."""
    start = 0
    while start < len(text):
        end = _end_of_window(text, start)
        if text[start:end].strip():
            yield Window(start, text[start:end], text[max(0, start - _CONTEXT) : start])
        start = end


def borders_in(window: Window, beginnings: Sequence[str]) -> tuple[list[int], int]:
    """Offsets in the whole text, and how many of the beginnings are not in the window, or not after the one before."""
    found: list[int] = []
    lowest = 0
    for said in beginnings[:_MOST]:
        place = _find(window.text, said, lowest)
        if place is not None:
            found.append(window.start + place)
            lowest = place + 1
    return found, len(beginnings) - len(found)


def _end_of_window(text: str, start: int) -> int:
    latest = start + WINDOW
    if latest >= len(text):
        return len(text)
    places = ((text.rfind(mark, start + WINDOW // 2, latest), mark) for mark in _ENDS)
    return next((place + len(mark) for place, mark in places if place >= 0), latest)


def _find(text: str, said: str, lowest: int) -> int | None:
    """Where the sentence or line begins that is meant, from `lowest` on."""
    words = said[:_LONGEST].split()
    if not words:
        return None
    matches = list(_pattern(words).finditer(text, lowest))
    for match in matches:
        place = _beginning(text, match.start())
        if place is not None and place >= lowest:
            return place
    if len(" ".join(words)) < _TELLING:
        return None
    quote = None if matches else find_quote(" ".join(words), text[lowest:])
    if matches:
        place = _begin_of_sentence(text, matches[0].start())
    elif quote is not None:
        place = _begin_of_sentence(text, lowest + quote.start)
    else:
        return None
    return place if place >= lowest else None


def _pattern(words: Sequence[str]) -> re.Pattern[str]:
    """The words with any blanks between them, and not the first half of a longer one at the end."""
    last = words[-1][-1]
    whole = r"(?![^\W_])" if last.isalnum() and last < _FIRST_WITHOUT_BLANKS else ""
    return re.compile(r"\s+".join(map(re.escape, words)) + whole)


def _beginning(text: str, place: int) -> int | None:
    """Of the line, if only marks and numbers stand between, or of the sentence; None inside of one."""
    line = text.rfind("\n", 0, place) + 1
    if _MARKS.fullmatch(text, line, place):
        return line + len(text[line:place]) - len(text[line:place].lstrip())
    return place if _begin_of_sentence(text, place) == place else None


def _begin_of_sentence(text: str, place: int) -> int:
    line = text.rfind("\n", 0, place) + 1
    ends = [match.end() for match in _END_OF_SENTENCE.finditer(text, line, place)]
    begin = ends[-1] if ends else line
    part = text[begin:place]
    return begin + len(part) - len(part.lstrip())

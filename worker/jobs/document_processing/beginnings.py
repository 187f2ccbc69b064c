"""Where a text turns to another matter according to a model: its words are looked for there, or not believed."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import islice
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
# So many that are nowhere in the text show that the reply is of no use; to look for one takes some milliseconds.
_MOST_LOST: Final = 10
_MOST_MATCHES: Final = 100
# In front of the words: of headings, lists, quotations. More than these are no mark of anything.
_MARKS: Final = re.compile(r"[\W\d_]{0,40}")
_END_OF_SENTENCE: Final = re.compile(r"(?:\n|[.!?…]['\"”’)\]]*\s|[。！？]['\"”’）」]*)\s*")
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
    sentences = _Sentences(window.text)
    found: list[int] = []
    lowest = 0
    lost = 0
    for said in beginnings:
        place = sentences.find(said, lowest)
        if place is not None:
            found.append(window.start + place)
            lowest = place + 1
            continue
        lost += 1
        if lost == _MOST_LOST:
            break
    return found, len(beginnings) - len(found)


def _end_of_window(text: str, start: int) -> int:
    latest = start + WINDOW
    if latest >= len(text):
        return len(text)
    places = ((text.rfind(mark, start + WINDOW // 2, latest), mark) for mark in _ENDS)
    return next((place + len(mark) for place, mark in places if place >= 0), latest)


class _Sentences:
    """A text, and where in it lines and sentences begin."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._starts = [len(text) - len(text.lstrip())]
        for match in _END_OF_SENTENCE.finditer(text, self._starts[0]):
            # "1." is no sentence, and belongs to what follows it.
            number = "\n" not in match[0] and _MARKS.fullmatch(text, self._starts[-1], match.end())
            if not number and match.end() < len(text):
                self._starts.append(match.end())

    def find(self, said: str, lowest: int) -> int | None:
        """Where the sentence or line begins that is meant, from `lowest` on."""
        words = said[:_LONGEST].split()
        if not words:
            return None
        inside: int | None = None
        for match in islice(_pattern(words).finditer(self._text, lowest), _MOST_MATCHES):
            start = self._start(match.start())
            if start >= lowest and _MARKS.fullmatch(self._text, start, match.start()):
                return start
            inside = start if inside is None else inside
        if len(" ".join(words)) < _TELLING:
            return None
        if inside is None:
            quote = find_quote(" ".join(words), self._text[lowest:])
            inside = None if quote is None else self._start(lowest + quote.start)
        return inside if inside is not None and inside >= lowest else None

    def _start(self, place: int) -> int:
        """Of the sentence or line in which the place is."""
        return self._starts[max(0, bisect_right(self._starts, place) - 1)]


def _pattern(words: Sequence[str]) -> re.Pattern[str]:
    """The words with any blanks between them, and not the first half of a longer one at the end."""
    last = words[-1][-1]
    whole = r"(?![^\W_])" if last.isalnum() and last < _FIRST_WITHOUT_BLANKS else ""
    return re.compile(r"\s+".join(map(re.escape, words)) + whole)

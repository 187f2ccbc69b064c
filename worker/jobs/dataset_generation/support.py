"""Whether what a model wrote of a text is carried by the text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

# Of the longer words of an answer so many must be in the text, whatever their ending.
LEAST_SHARE: Final = 0.5
_NUMBER: Final = re.compile(r"\d+(?:[.,:]\d+)*")
# Words of scripts that write no blanks between them are not told apart.
_WORD: Final = re.compile(r"[^\W\d_\u2e80-\U0010ffff]{4,}")
_SHORTEST_STEM: Final = 4
_LONGEST_ENDING: Final = 3


def is_supported(task: str, output: str, quotes: Sequence[str], text: str) -> bool:
    """It rests on passages that are in the text, has no number that is not there, and most of its words from there.

    A question may be in words of its own.
    """
    if not quotes or not all(quote in text for quote in quotes):
        return False
    if not set(_NUMBER.findall(output)) <= set(_NUMBER.findall(text)):
        return False
    return task == "question" or shared_words(output, text) >= LEAST_SHARE


def shared_words(output: str, text: str) -> float:
    """The part of the longer words that are in the text; 1 when there are none."""
    words = _WORD.findall(output.lower())
    known = text.lower()
    found = sum(word[: max(_SHORTEST_STEM, len(word) - _LONGEST_ENDING)] in known for word in words)
    return found / len(words) if words else 1.0

"""Sentences of a text, each a part of it as it stands there."""

from __future__ import annotations

import re
from typing import Final

import sentencex

from worker.jobs.shared.words import has_foreign_blanks

Place = tuple[int, int]
# The splitter crashes at such a blank, which is none of ASCII, when the letter is a word.
_CRASH: Final = re.compile(r"([^\W\d_]\s*)[^\S\x00-\x7f](?=\.)")


def sentences_of(text: str) -> list[Place]:
    """Where they begin and end, without the blanks around them; each character but blanks is in one."""
    found = []
    end = 0
    fit = _CRASH.sub(r"\1 ", text) if has_foreign_blanks(text) else text
    for sentence in sentencex.segment("en", fit):
        start, end = end, end + len(sentence)
        said = sentence.strip()
        if said:
            low = start if len(said) == len(sentence) else start + len(sentence) - len(sentence.lstrip())
            found.append((low, low + len(said)))
    return found

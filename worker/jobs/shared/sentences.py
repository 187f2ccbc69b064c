"""Sentences of a text, each a part of it as it stands there."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import accumulate
from typing import Final

import sentencex

from worker.jobs.shared.words import has_foreign_blanks

Place = tuple[int, int]
# The splitter crashes at such a blank, which is none of ASCII, when the letter is a word.
_CRASH: Final = re.compile(r"([^\W\d_]\s*)[^\S\x00-\x7f](?=\.)")


def sentences_of(text: str) -> list[Place]:
    """Where they begin and end, without the blanks around them; each character but blanks is in one."""
    found = []
    fit = _CRASH.sub(r"\1 ", text) if has_foreign_blanks(text) else text
    for start, sentence in _pieces(fit):
        said = sentence.strip()
        if said:
            low = start if len(said) == len(sentence) else start + len(sentence) - len(sentence.lstrip())
            found.append((low, low + len(said)))
    return found


def _pieces(text: str) -> Iterable[tuple[int, str]]:
    """Each with the place where it begins."""
    pieces = sentencex.segment("en", text)
    if sum(map(len, pieces)) == len(text):
        return zip(accumulate(map(len, pieces), initial=0), pieces, strict=False)
    # Of long texts, over 10,000 characters, it leaves out empty lines; this way is slower and leaves out nothing.
    return ((found["start_index"], found["text"]) for found in sentencex.get_sentence_boundaries("en", text))

"""Sentences of a text, each a part of it as it stands there."""

from __future__ import annotations

import sentencex

Place = tuple[int, int]


def sentences_of(text: str) -> list[Place]:
    """Where they begin and end, without the blanks around them; each character but blanks is in one."""
    found = []
    end = 0
    for sentence in sentencex.segment("en", text):
        start, end = end, end + len(sentence)
        low = start + len(sentence) - len(sentence.lstrip())
        high = end - (len(sentence) - len(sentence.rstrip()))
        if low < high:
            found.append((low, high))
    return found

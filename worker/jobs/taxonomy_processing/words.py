"""Which words count: stop words by language, found out from the texts when nobody says."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from itertools import islice
from typing import Final

from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from worker.jobs.shared.words import texts_of_words

_LETTER: Final = re.compile(r"[^\W\d_]")
_LOOKED_AT: Final = 1000
_MOST_REMEMBERED: Final = 200_000
# In English four words of ten are stop words; texts that were stripped of them or are of another language have few.
_ENGLISH_SHARE: Final = 0.2
_EVERYWHERE: Final = 0.4

ENGLISH: Final = "en"
UNKNOWN: Final = "unknown"


def words_of(text: str) -> list[str]:
    """With two characters or more, one of them a letter."""
    return [word for word in texts_of_words(text.lower()) if len(word) > 1 and _HAVE_LETTERS[word]]


def has_letter(word: str) -> bool:
    return _LETTER.search(word) is not None


class _HaveLetters(dict[str, bool]):
    """Of words, each looked at once: most of them come again and again."""

    def __missing__(self, word: str) -> bool:
        if len(self) > _MOST_REMEMBERED:
            self.clear()
        found = self[word] = has_letter(word)
        return found


_HAVE_LETTERS: Final = _HaveLetters()


def language_of(texts: Iterable[str]) -> str:
    """`en` or `unknown`."""
    seen = known = 0
    for text in islice(texts, _LOOKED_AT):
        words = words_of(text)
        seen += len(words)
        known += sum(word in ENGLISH_STOP_WORDS for word in words)
    return ENGLISH if known >= _ENGLISH_SHARE * max(1, seen) else UNKNOWN


def stop_words(language: str, texts: Iterable[str]) -> list[str]:
    """For languages without a list: words that very many of the texts have."""
    if language == ENGLISH:
        return sorted(ENGLISH_STOP_WORDS)
    counts: Counter[str] = Counter()
    total = 0
    for text in islice(texts, 20 * _LOOKED_AT):
        counts.update(set(words_of(text)))
        total += 1
    return sorted(word for word, count in counts.items() if count > _EVERYWHERE * total)

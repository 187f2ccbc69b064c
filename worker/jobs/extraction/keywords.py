"""The words of the categories, found in texts at their exact places: as whole words, in upper or lower case."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import ahocorasick
from rapidfuzz import fuzz, process

FUZZY_LETTERS: Final = 6
FUZZY_RATIO: Final = 90.0
_MOST_REMEMBERED: Final = 200_000
# From here on scripts stand that write words without blanks between them, or with endings glued on.
_NO_BLANKS: Final = "\u2e80"
# Texts are often broken into lines.
_BLANKS = dict.fromkeys(map(ord, "\t\n\r\xa0"), " ")
_WORD = re.compile(r"\w+(?:['’-]\w+)*")


class Hit(NamedTuple):
    """`ratio`: 0 to 1, 1 for the very word."""

    start: int
    end: int
    category: int
    ratio: float


class Keywords:
    """`terms`: of each category."""

    def __init__(self, terms: Sequence[Iterable[str]], *, is_fuzzy: bool) -> None:
        owners: dict[str, list[int]] = defaultdict(list)
        for category, words in enumerate(terms):
            for word in sorted({" ".join(folded(word).split()) for word in words} - {""}):
                owners[word].append(category)
        self._automaton = ahocorasick.Automaton()
        for word, categories in owners.items():
            self._automaton.add_word(word, (len(word), tuple(categories)))
        self._is_empty = not owners
        if owners:
            self._automaton.make_automaton()
        self._fuzzy = _Fuzzy(owners) if is_fuzzy else None

    def find(self, text: str) -> list[Hit]:
        """In the order of the text. Hits of one category do not overlap: the one that begins first stays, the longer
        one of two, and the very word before a similar one."""
        if self._is_empty:
            return []
        low = folded(text)
        hits = _longest(self._exact(low))
        if self._fuzzy is not None:
            hits = _longest([*hits, *self._fuzzy.find(low)])
        return hits

    def _exact(self, low: str) -> Iterator[Hit]:
        for last, (length, categories) in self._automaton.iter(low):
            start, end = last + 1 - length, last + 1
            if _is_border(low, start) and _is_border(low, end):
                for category in categories:
                    yield Hit(start, end, category, 1.0)


class _Fuzzy:
    def __init__(self, owners: dict[str, list[int]]) -> None:
        self._owners = owners
        self._terms: dict[int, list[str]] = defaultdict(list)
        for word in sorted(owners):
            if sum(map(str.isalpha, word)) >= FUZZY_LETTERS:
                self._terms[len(_WORD.findall(word))].append(word)
        self._known: dict[str, list[tuple[str, float]]] = {}

    def find(self, low: str) -> Iterator[Hit]:
        places = [match.span() for match in _WORD.finditer(low)]
        for words, terms in self._terms.items():
            for first, last in zip(places, places[max(words, 1) - 1 :], strict=False):
                start, end = first[0], last[1]
                for term, ratio in self._similar(low[start:end], terms):
                    for category in self._owners[term]:
                        yield Hit(start, end, category, ratio)

    def _similar(self, window: str, terms: list[str]) -> list[tuple[str, float]]:
        found = self._known.get(window)
        if found is None:
            if len(self._known) >= _MOST_REMEMBERED:
                self._known.clear()
            hits = process.extract(window, terms, scorer=fuzz.ratio, score_cutoff=FUZZY_RATIO, limit=None)
            found = self._known[window] = [(term, round(ratio / 100, 4)) for term, ratio, _ in hits]
        return found


def folded(text: str) -> str:
    """In lower case and on one line, with all characters at their places."""
    low = text.lower()
    if len(low) != len(text):
        low = "".join(lower if len(lower := character.lower()) == 1 else character for character in text)
    return low.translate(_BLANKS)


def _longest(hits: Iterable[Hit]) -> list[Hit]:
    kept: dict[int, list[Hit]] = defaultdict(list)
    for hit in sorted(hits, key=lambda hit: (hit.ratio < 1, hit.start, -hit.end, -hit.ratio)):
        others = kept[hit.category]
        # The very words come in order, so only the last of them can reach this far.
        near = others[-1:] if hit.ratio == 1 else others
        if not any(hit.start < other.end and other.start < hit.end for other in near):
            others.append(hit)
    return sorted(hit for hits_of_one in kept.values() for hit in hits_of_one)


def _is_border(low: str, place: int) -> bool:
    """Whether a word may begin or end here."""
    if place in (0, len(low)):
        return True
    before, after = low[place - 1], low[place]
    return not (_joins(before) and _joins(after))


def _joins(character: str) -> bool:
    return (character.isalnum() or character == "_") and character < _NO_BLANKS

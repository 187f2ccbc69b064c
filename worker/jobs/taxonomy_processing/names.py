"""Names, descriptions and examples of categories, from the chunks in their middle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import fsum
from typing import Final

import numpy as np

from worker.jobs.shared.sentences import sentences_of
from worker.jobs.taxonomy_processing.corpus import Chunk, Corpus
from worker.jobs.taxonomy_processing.tree import NAMED_BY, Category
from worker.jobs.taxonomy_processing.vectors import Space
from worker.jobs.taxonomy_processing.words import words_of

EXAMPLES: Final = 5
# So many chunks of a category are read for pairs of words.
_READ: Final = 60
_OFTEN: Final = 0.15
_PAIRED: Final = 6
_FURTHER: Final = 5
_LONGEST_SENTENCE: Final = 300
_SHORTEST_SENTENCE: Final = 30
_LONGEST_TEXT: Final = 20_000
# Of 255 characters that a taxonomy may have there, and with room for a number.
_LONGEST_NAME: Final = 240


@dataclass(frozen=True, slots=True)
class Middle:
    """`rows`: of the space, the most central first; `alike`: how alike they are to the middle."""

    rows: list[int]
    alike: list[float]


class Namer:
    def __init__(self, space: Space, corpus: Corpus, root: Category) -> None:
        self._space = space
        self._all = [root, *root.walk()]
        self.middles = {id(category): _middle(space, category) for category in self._all}
        wanted = sorted({row for middle in self.middles.values() for row in middle.rows})
        numbers = [corpus.numbers[row] for row in wanted]
        chunks = (chunk._replace(text=chunk.text[:_LONGEST_TEXT]) for chunk in corpus.some(numbers))
        self._chunks = dict(zip(wanted, chunks, strict=True))

    def name_all(self) -> None:
        for parent in self._all:
            taken = {folded(child.name) for child in parent.children if child.name}
            for child in parent.children:
                if not child.name:
                    child.name = free_name(self._name(child), child, taken)
                    taken.add(folded(child.name))
                if not child.description:
                    child.description = self._describe(child)

    def examples(self, category: Category) -> list[Chunk]:
        """The most central ones first; of long texts the beginning."""
        return [self._chunks[row] for row in self.middles[id(category)].rows[:EXAMPLES]]

    def _name(self, category: Category) -> str:
        """Its best terms, of which two may be a pair that its texts have often."""
        terms = [term for term, _ in category.keywords]
        pair = self._pair(category, terms[:_PAIRED])
        if pair is None:
            words = terms[:NAMED_BY]
        else:
            words = [" ".join(pair), *[term for term in terms if term not in pair][: NAMED_BY - 2]]
        text = ", ".join(words) or "other"
        return text[:1].upper() + text[1:]

    def _pair(self, category: Category, terms: Sequence[str]) -> tuple[str, str] | None:
        chunks = [self._chunks[row] for row in self.middles[id(category)].rows]
        counts: Counter[tuple[str, str]] = Counter()
        wanted = set(terms)
        for chunk in chunks:
            found = pairwise(words_of(chunk.text))
            counts.update({(one, two) for one, two in found if one in wanted and two in wanted and one != two})
        best = max(sorted(counts), key=lambda pair: counts[pair], default=None)
        return best if best is not None and counts[best] >= _OFTEN * len(chunks) else None

    def _describe(self, category: Category) -> str:
        terms = [term for term, _ in category.keywords]
        further = terms[NAMED_BY : NAMED_BY + _FURTHER]
        about = f"About {', '.join(further)}." if further else ""
        return f"{about} {self._sentence(category, terms)}".strip()

    def _sentence(self, category: Category, terms: Sequence[str]) -> str:
        """Of the central texts the sentence with the most of the best terms."""
        weight = {term: 1 / (2 + place) for place, term in enumerate(terms)}
        best, score = "", 0.0
        for chunk in self.examples(category):
            for start, end in sentences_of(chunk.text):
                sentence = " ".join(chunk.text[start:end].split())
                if _SHORTEST_SENTENCE <= len(sentence) <= _LONGEST_SENTENCE:
                    # Exactly: a set has another order in another process, and sums that are rounded on the way differ.
                    found = fsum(weight.get(word, 0.0) for word in set(words_of(sentence)))
                    if found > score:
                        best, score = sentence, found
        return best


def _middle(space: Space, category: Category) -> Middle:
    members = category.members
    if not len(members):
        return Middle([], [])
    alike = space.alike(members, space.middle(members))
    order = np.argsort(-alike, kind="stable")[:_READ]
    return Middle([int(row) for row in members[order]], [float(value) for value in alike[order]])


def folded(name: str) -> str:
    """Equal for names that nobody would tell apart."""
    return name.casefold()


def free_name(name: str, category: Category, taken: Collection[str]) -> str:
    """Not the name of a sibling (`taken`, folded): further terms are added as long as it is, then a number."""
    for term, _ in category.keywords[NAMED_BY:]:
        longer = f"{name}, {term}"
        if folded(name) not in taken or len(longer) > _LONGEST_NAME:
            break
        name = longer
    number = 2
    while folded(name) in taken:
        name, number = f"{name.removesuffix(f' {number - 1}')} {number}", number + 1
    return name

"""How much the words of a text tell of it, beside the other texts of the job."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

# A word, or up to three words with capitals: the name of something.
_TERM: Final = re.compile(r"[A-Z][\w’'-]*[a-z](?: [A-Z][\w’'-]*[a-z]){1,2}|[^\W\d_][\w’'-]*")
_SHORTEST: Final = 4
_LONGEST: Final = 60
# Texts of any size are judged by what they begin with.
_MOST_CHARACTERS: Final = 200_000
_MOST_WORDS: Final = 500_000
_OFTEN: Final = 0.3
_FEW: Final = 20
# Words that tell nothing of a text, however rare they are in it; those of other languages show by being everywhere.
_EMPTY_WORDS: Final = (
    "about above after again against also although among another because been before being below between both cannot"
    " could does doing down during each either else even ever every from further have having here hers herself himself"
    " however into itself just many more most much must myself neither never nothing ones only other others ought ours"
    " ourselves over said same says several shall should since some such than that their theirs them themselves then"
    " there these they this those though through thus together toward under until upon very well were what whatever"
    " when where whether which while whom whose will with within without would your yours yourself yourselves"
)
_EMPTY: Final = frozenset(_EMPTY_WORDS.split())
# They begin sentences with a capital and are no part of the name that follows.
_NO_NAME_WORDS: Final = "the this that these those its his her our their and but for with from when while"
_NO_NAME: Final = frozenset(_NO_NAME_WORDS.split())
_LONGEST_MATCH: Final = _LONGEST + max(map(len, _NO_NAME)) + 1


class Term(NamedTuple):
    """`text`: as it stands in the text for the first time; `place`: its number among the terms of the text."""

    text: str
    place: int
    weight: float


def matches_of(text: str) -> list[str]:
    """What may be a term, in order; for the methods of `Weights`."""
    return _TERM.findall(text, 0, _MOST_CHARACTERS)


class Weights:
    """Inverse document frequencies, counted text by text."""

    def __init__(self) -> None:
        self._texts = 0
        self._frequencies: Counter[str] = Counter()
        # By frequency, which are far fewer than words.
        self._values: dict[int, float] = {}

    def add(self, text: str) -> None:
        self._texts += 1
        self._values.clear()
        self._frequencies.update({term[0] for term in map(_term, set(matches_of(text))) if term})
        if len(self._frequencies) > _MOST_WORDS:
            # What was met once may well be met no more; without this a large job would have no bound.
            self._frequencies = Counter({word: n for word, n in self._frequencies.items() if n > 1})

    def of(self, key: str) -> float:
        """0 for a word that is in most texts."""
        seen = self._frequencies.get(key, 0)
        value = self._values.get(seen)
        if value is None:
            often = self._texts >= _FEW and seen > _OFTEN * self._texts
            value = self._values[seen] = 0.0 if often else math.log((1 + self._texts) / (1 + seen)) + 1
        return value

    def vector(self, matches: Sequence[str]) -> dict[str, float]:
        """TF-IDF with the logarithm of the counts, of length 1; empty when no word tells anything."""
        counts = Counter([term[0] for term in map(_term, matches) if term])
        weighed = {key: (1 + math.log(n)) * self.of(key) if n > 1 else self.of(key) for key, n in counts.items()}
        length = math.sqrt(sum([weight * weight for weight in weighed.values()]))
        return {key: weight / length for key, weight in weighed.items() if weight} if length else {}

    def terms(self, matches: Sequence[str], vector: Mapping[str, float], most: int) -> list[Term]:
        """The weightiest of a text, no two of which share a word; `vector`: the text's own."""
        first: dict[str, str] = {}
        for term in map(_term, dict.fromkeys(matches)):
            if term:
                first.setdefault(*term)
        places = {key: place for place, key in enumerate(first)}
        found: list[Term] = []
        taken: set[str] = set()
        # Of those that weigh the same the earlier one: the vector is in the order of the text.
        for key in sorted(vector, key=vector.__getitem__, reverse=True):
            words = set(key.split())
            if not words & taken:
                taken |= words
                found.append(Term(first[key], places[key], vector[key]))
                if len(found) == most:
                    break
        return found


def _term(match: str) -> tuple[str, str] | None:
    """What counts as the same term, and the term as it stands there; None for what is no term."""
    # Longer ones are not worth remembering.
    return _term_of(match) if len(match) <= _LONGEST_MATCH else None


@lru_cache(maxsize=50_000)
def _term_of(match: str) -> tuple[str, str] | None:
    first, _, rest = match.partition(" ")
    surface = rest if rest and first.lower() in _NO_NAME else match
    key = surface.lower()
    return (key, surface) if _SHORTEST <= len(surface) <= _LONGEST and key not in _EMPTY else None


def ranked(weights: Weights, sentences: Sequence[str], whole: Mapping[str, float]) -> list[int]:
    """Numbers of the sentences, best first: those that are like the whole text, and those that come early."""

    def score(number: int) -> float:
        vector = weights.vector(matches_of(sentences[number]))
        return sum([weight * whole.get(key, 0.0) for key, weight in vector.items()]) + 0.5 / (1 + number)

    scores = [score(number) for number in range(len(sentences))]
    return sorted(range(len(sentences)), key=lambda number: (-scores[number], number))

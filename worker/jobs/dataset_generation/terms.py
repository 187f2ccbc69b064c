"""How much the words of a text tell of it, beside the other texts of the job."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, chain, pairwise
from pathlib import Path
from typing import Final, NamedTuple, Self

import orjson

from worker.jobs.shared.sentences import Place
from worker.jobs.shared.words import has_foreign_letters
from worker.jobs.shared.workspace import storing

# A word, or up to three words with capitals: the name of something.
_FORM: Final = r"[A-Z][{more}]*[a-z](?: [A-Z][{more}]*[a-z]){{1,2}}|[{first}][{more}]*"
_TERM: Final = re.compile(_FORM.format(first=r"^\W\d_", more=r"\w’'-"))
_JOINED: Final = re.compile(r"[\w’'-]")
# The same of texts whose letters are all in ASCII: a set of characters takes less time than a question about each.
_TERM_IN_ASCII: Final = re.compile(_FORM.format(first="A-Za-z", more="A-Za-z0-9_’'-"))
_SHORTEST: Final = 4
_LONGEST: Final = 60
# Texts of any size are judged by what they begin with.
_MOST_CHARACTERS: Final = 200_000
_MOST_WORDS: Final = 500_000
_MOST_REMEMBERED: Final = 200_000
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
    """`text`: as it stands in the text for the first time; `place`: its number in `Words`."""

    text: str
    place: int
    weight: float


class Words(NamedTuple):
    """What may be a term in a text, in order, and for each what is equal for equal terms, empty when it is none."""

    matches: list[str]
    keys: list[str]


def terms_in(text: str) -> Words:
    return _words(_pattern_for(text).findall(text, 0, _MOST_CHARACTERS))


def terms_by_sentence(text: str, places: Sequence[Place]) -> tuple[list[Words], Words]:
    """Of each sentence and of the whole text, without looking at everything twice."""
    pattern = _pattern_for(text)
    found = [pattern.findall(text, start, min(end, start + _MOST_CHARACTERS)) for start, end in places]
    joined = _words(list(chain.from_iterable(found)))
    ends = pairwise(accumulate(map(len, found), initial=0))
    of_each = [Words(matches, joined.keys[low:high]) for matches, (low, high) in zip(found, ends, strict=True)]
    if len(text) > _MOST_CHARACTERS or any(_may_span(text, end, start) for (_, end), (start, _) in pairwise(places)):
        return of_each, terms_in(text)
    return of_each, joined


def _may_span(text: str, end: int, start: int) -> bool:
    """Whether there might be a match that begins in the sentence before `end` and ends in the one from `start` on."""
    return text[end:start] in ("", " ") and bool(_JOINED.match(text[end - 1])) and bool(_JOINED.match(text[start]))


def _pattern_for(text: str) -> re.Pattern[str]:
    return _TERM if has_foreign_letters(text) else _TERM_IN_ASCII


def _words(matches: list[str]) -> Words:
    if len(_KEYS) > _MOST_REMEMBERED:
        _KEYS.clear()
    return Words(matches, list(map(_KEYS.__getitem__, matches)))


class _Keys(dict[str, str]):
    """Of matches, each worked out once: most of them come again and again."""

    def __missing__(self, match: str) -> str:
        # Not worth remembering.
        if len(match) > _LONGEST_MATCH:
            return ""
        key = self[match] = _key_of(match)
        return key


_KEYS: Final = _Keys()


class Weights:
    """Inverse document frequencies: counted text by text, and known when all have been counted."""

    def __init__(self) -> None:
        self._texts = 0
        self._frequencies: Counter[str] = Counter()
        self._values: dict[str, float] = {}

    def add(self, keys: Iterable[str]) -> None:
        """`keys`: of a text, each once."""
        self._texts += 1
        self._frequencies.update(keys)
        if len(self._frequencies) > _MOST_WORDS:
            self._forget()

    def settle(self) -> None:
        """All texts have been added."""
        by_frequency = {seen: self._value(seen) for seen in set(self._frequencies.values())}
        self._values = {key: by_frequency[seen] for key, seen in self._frequencies.items()}
        self._frequencies.clear()

    def _forget(self) -> None:
        """What was met least often may well be met no more; without this a large job would have no bound."""
        # Half of them at least, or it would be done for each text.
        floor = sorted(self._frequencies.values(), reverse=True)[_MOST_WORDS // 2]
        self._frequencies = Counter({word: n for word, n in self._frequencies.items() if n > floor})

    def save(self, file: Path) -> None:
        """When they are known. Raises StorageError."""
        with storing():
            file.write_bytes(orjson.dumps((self._texts, self._values)))

    @classmethod
    def load(cls, file: Path) -> Self:
        """Raises StorageError."""
        weights = cls()
        with storing():
            weights._texts, weights._values = orjson.loads(file.read_bytes())
        return weights

    def _value(self, seen: int) -> float:
        """0 for a word that is in most texts."""
        if self._texts >= _FEW and seen > _OFTEN * self._texts:
            return 0.0
        return math.log((1 + self._texts) / (1 + seen)) + 1

    def vector(self, words: Words) -> dict[str, float]:
        """TF-IDF with the logarithm of the counts, of length 1; empty when no word tells anything."""
        values, unknown = self._values, self._value(0)
        counts = Counter(words.keys)
        counts.pop("", None)
        weighed = {
            key: (1 + math.log(n)) * values.get(key, unknown) if n > 1 else values.get(key, unknown)
            for key, n in counts.items()
        }
        length = math.sqrt(sum([weight * weight for weight in weighed.values()]))
        return {key: weight / length for key, weight in weighed.items() if weight} if length else {}

    def likeness(self, keys: list[str], whole: Mapping[str, float]) -> float:
        """The cosine of words and a vector."""
        values, unknown, theirs = self._values, self._value(0), whole.get
        counts = dict.fromkeys(keys, 1)
        counts.pop("", None)
        if len(counts) + keys.count("") < len(keys):
            counts = Counter(filter(None, keys))
            weights = [
                (1 + math.log(n)) * values.get(key, unknown) if n > 1 else values.get(key, unknown)
                for key, n in counts.items()
            ]
        else:
            weights = [values.get(key, unknown) for key in counts]
        length = math.sqrt(sum([weight * weight for weight in weights]))
        if not length:
            return 0.0
        return sum([weight / length * theirs(key, 0.0) for key, weight in zip(counts, weights, strict=True)])

    def terms(self, words: Words, vector: Mapping[str, float], most: int) -> list[Term]:
        """The weightiest of a text, no two of which share a word; `vector`: the text's own."""
        # The last to be entered is the first of the text.
        places = dict(zip(reversed(words.keys), range(len(words.keys) - 1, -1, -1), strict=True))
        found: list[Term] = []
        taken: set[str] = set()
        # Of those that weigh the same the earlier one: the vector is in the order of the text.
        for key in sorted(vector, key=vector.__getitem__, reverse=True):
            parts = key.split()
            if taken.isdisjoint(parts):
                taken.update(parts)
                place = places[key]
                found.append(Term(_surface(words.matches[place]), place, vector[key]))
                if len(found) == most:
                    break
        return found


def _key_of(match: str) -> str:
    """Equal for what counts as the same term; empty for what is none."""
    surface = _surface(match)
    key = surface.lower()
    return key if _SHORTEST <= len(surface) <= _LONGEST and key not in _EMPTY else ""


def _surface(match: str) -> str:
    first, _, rest = match.partition(" ")
    return rest if rest and first.lower() in _NO_NAME else match


def ranked(weights: Weights, sentences: Sequence[Words], whole: Mapping[str, float]) -> list[int]:
    """Numbers of the sentences, best first: those that are like the whole text, and those that come early."""

    scores = [weights.likeness(sentence.keys, whole) + 0.5 / (1 + number) for number, sentence in enumerate(sentences)]
    return sorted(range(len(sentences)), key=lambda number: (-scores[number], number))

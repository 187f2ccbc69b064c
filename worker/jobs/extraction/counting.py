"""Terms of texts as a sparse matrix of counts: one row a text, one column a term, in the order of the alphabet."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from worker.jobs.shared.words import texts_of_words

_BATCH: Final = 500
_MOST_REMEMBERED: Final = 500_000


class Counter:
    """Learns its terms from the texts that it counts first. `columns`: of the terms."""

    def __init__(self) -> None:
        self.columns: dict[str, int] = {}

    def fit(self, texts: Iterable[str]) -> Any:
        numbers: defaultdict[str, int] = defaultdict()
        numbers.default_factory = numbers.__len__
        columns, counts, ends = array("i"), array("f"), [0]
        rest = iter(texts)
        while batch := list(islice(rest, _BATCH)):
            found = [list(map(numbers.__getitem__, terms_of(text))) for text in batch]
            lengths, column, count = _counted(found, len(numbers))
            columns.frombytes(column.tobytes())
            counts.frombytes(count.tobytes())
            ends += (ends[-1] + np.cumsum(lengths)).tolist()
        self.columns = {term: column for column, term in enumerate(sorted(numbers))}
        sorted_places = np.array([self.columns[term] for term in numbers], dtype=np.int32)
        return _matrix(
            np.frombuffer(counts, np.float32), sorted_places[np.frombuffer(columns, np.int32)], ends, len(numbers)
        )

    def transform(self, texts: Sequence[str]) -> Any:
        """Of the terms that are known."""
        get = self.columns.get
        found = [[place for term in terms_of(text) if (place := get(term)) is not None] for text in texts]
        lengths, column, count = _counted(found, len(self.columns))
        return _matrix(count, column, [0, *np.cumsum(lengths).tolist()], len(self.columns))


def _counted(
    found: Sequence[Sequence[int]], width: int
) -> tuple[NDArray[np.intp], NDArray[np.int32], NDArray[np.float32]]:
    """How many different numbers are in each, these in their order, and how often each is there."""
    rows = np.repeat(np.arange(len(found), dtype=np.int64), [len(numbers) for numbers in found])
    places = np.fromiter((number for numbers in found for number in numbers), np.int64, len(rows))
    both, counts = np.unique(rows * max(1, width) + places, return_counts=True)
    row, column = np.divmod(both, max(1, width))
    return np.bincount(row, minlength=len(found)), column.astype(np.int32), counts.astype(np.float32)


def _matrix(counts: NDArray[np.float32], columns: NDArray[np.int32], ends: list[int], width: int) -> Any:
    kind = np.int32 if ends[-1] < 2**31 else np.int64
    return csr_matrix(
        (counts, columns.astype(kind, copy=False), np.array(ends, dtype=kind)), shape=(len(ends) - 1, width)
    )


def terms_of(text: str) -> list[str]:
    """The words of a text that say something, plurals as singulars."""
    if len(_TERMS) > _MOST_REMEMBERED:
        _TERMS.clear()
    return [term for term in map(_TERMS.__getitem__, texts_of_words(text.lower())) if term]


class _Terms(dict[str, str]):
    """Of words, each worked out once: most of them come again and again."""

    def __missing__(self, word: str) -> str:
        term = self[word] = _term(word)
        return term


_TERMS: Final = _Terms()


def _term(word: str) -> str:
    """By Harman's three rules, which touch endings in 's' only, both numbers of a noun become the same."""
    if len(word) < 2 or word in ENGLISH_STOP_WORDS or not any(map(str.isalpha, word)):
        return ""
    if len(word) < 4 or not word.endswith("s") or word.endswith(("us", "ss", "is")):
        return word
    if word.endswith("ies") and not word.endswith(("eies", "aies")):
        return f"{word[:-3]}y" if len(word) > 4 else word[:-1]
    return word[:-1]

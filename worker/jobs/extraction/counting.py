"""Terms of texts as a sparse matrix of counts: one row a text, one column a term, in the order of the alphabet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from worker.jobs.extraction.decide import Matrix
from worker.jobs.shared.word_counts import Counts, Numbers
from worker.jobs.shared.words import texts_of_words

_MOST_REMEMBERED: Final = 500_000


class Counter:
    """Learns its terms from the texts that it counts first. `columns`: of the terms."""

    def __init__(self) -> None:
        self.columns: dict[str, int] = {}

    def fit(self, texts: Counts) -> Any:
        terms = list(map(_TERMS.__getitem__, texts.words()))
        numbers: dict[str, int] = {}
        of_word = np.array([numbers.setdefault(term, len(numbers)) if term else -1 for term in terms], dtype=np.int64)
        self.columns = {term: column for column, term in enumerate(sorted(numbers))}
        column_of = np.array([self.columns[term] for term in numbers], dtype=np.int32)
        columns, counts, sizes = [], [], []
        for row, word, count, rows in texts.batches(range(len(texts))):
            number = of_word[word]
            size, found, often = _counted(row[number >= 0], number[number >= 0], count[number >= 0], rows, len(numbers))
            columns.append(column_of[found])
            counts.append(often)
            sizes.append(size)
        return _matrix(sizes, columns, counts, len(numbers))

    def transform(self, texts: Sequence[str]) -> Any:
        """Of the terms that are known."""
        get = self.columns.get
        found = [[place for term in terms_of(text) if (place := get(term)) is not None] for text in texts]
        rows = np.repeat(np.arange(len(found), dtype=np.int64), [len(places) for places in found])
        places = np.fromiter((place for text in found for place in text), np.int64, len(rows))
        size, column, often = _counted(rows, places, np.ones(len(rows)), len(found), len(self.columns))
        return _matrix([size], [column.astype(np.int32)], [often], len(self.columns))


def _counted(rows: Numbers, terms: Numbers, counts: Any, texts: int, width: int) -> tuple[Numbers, Numbers, Matrix]:
    """How many different terms each text has, these in the order of their numbers, and how often each is there."""
    both, places = np.unique(rows * max(1, width) + terms, return_inverse=True)
    row, term = np.divmod(both, max(1, width))
    often = np.bincount(places, counts, len(both)).astype(np.float32)
    return np.bincount(row, minlength=texts), term, often


def _matrix(sizes: list[Numbers], columns: list[Any], counts: list[Matrix], width: int) -> Any:
    ends = np.concatenate([[0], np.cumsum(np.concatenate(sizes))])
    kind = np.int32 if ends[-1] < 2**31 else np.int64
    cells = np.concatenate(counts), np.concatenate(columns).astype(kind, copy=False), ends.astype(kind)
    return csr_matrix(cells, shape=(len(ends) - 1, width))


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

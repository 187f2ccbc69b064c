"""How good the written records are, by what can be counted."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, Final

from worker.jobs.dataset_generation.sentences import has_ended
from worker.jobs.shared.words import words_of

# Words in a window: the part of different words shrinks with the length of a text, so lengths must be equal.
_WINDOW: Final = 10_000
_PERCENTILES: Final = (5, 25, 50, 75, 95, 99)
_MOST_LABELS: Final = 200
# Their answers are sentences; others are lists or names.
_PROSE: Final = ("about", "heading", "sentence", "summary", "completion", "cloze", "summarization", "question")


class Distinct:
    """Mean over windows of the part of n-grams that are different from all others."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._seen: set[Hashable] = set()
        self._count = 0
        self._shares: list[float] = []

    def add(self, words: Sequence[Hashable]) -> None:
        grams: list[Hashable] = [*words] if self._n == 1 else [*zip(*(words[n:] for n in range(self._n)), strict=False)]
        while grams:
            fitting = grams[: _WINDOW - self._count]
            self._seen.update(fitting)
            self._count += len(fitting)
            if self._count == _WINDOW:
                self._close()
            grams = grams[len(fitting) :]

    def value(self) -> float:
        # What is left over counts only when it is all there is: it is too short to be compared.
        if not self._shares:
            return len(self._seen) / self._count if self._count else 0.0
        return math.fsum(self._shares) / len(self._shares)

    def _close(self) -> None:
        self._shares.append(len(self._seen) / self._count)
        self._seen, self._count = set(), 0


class Lengths:
    """Percentiles of lengths, exact, with memory for different lengths only."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def add(self, length: int) -> None:
        self._counts[length] += 1

    def value(self) -> dict[str, int]:
        total, passed, wanted = self._counts.total(), 0, list(_PERCENTILES)
        found: dict[str, int] = {}
        for length in sorted(self._counts):
            passed += self._counts[length]
            while wanted and passed * 100 >= wanted[0] * total:
                found[f"p{wanted.pop(0)}"] = length
        return found


class Quality:
    """Takes each record that has been written.

    `categories`: those that records could have had; none when there are no categories.
    """

    def __init__(self, categories: Iterable[str]) -> None:
        self._categories = frozenset(categories)
        self.count = 0
        self._valid = self._grounded = self._cut = 0
        self._labels: Counter[str] = Counter()
        self._tasks: Counter[str] = Counter()
        self._distinct = Distinct(1), Distinct(2)
        self._lengths = {"input": Lengths(), "output": Lengths()}

    def add(self, task: str, asked: str, output: str, labels: Sequence[str], *, valid: bool, grounded: bool) -> None:
        self.count += 1
        self._valid += valid
        self._grounded += grounded
        self._cut += not output.strip() or (task in _PROSE and not has_ended(output))
        self._tasks[task] += 1
        self._labels.update(labels)
        words = words_of(output.lower())
        for distinct in self._distinct:
            distinct.add(words)
        self._lengths["input"].add(len(asked))
        self._lengths["output"].add(len(output))

    def value(self, threshold: float, near_duplicates: int, leaked: int) -> dict[str, Any]:
        """`near_duplicates` and `leaked`: how many records are too much like another one, or one of another split."""
        count = max(self.count, 1)
        rates = {
            "schema_validity": self._valid / count,
            "groundedness": self._grounded / count,
            "near_duplicate_share": near_duplicates / count,
            "split_leakage": leaked / count,
            "label_balance": balance(self._labels),
            "distinct_1": self._distinct[0].value(),
            "distinct_2": self._distinct[1].value(),
            "empty_truncated_share": self._cut / count,
            "category_coverage": self._coverage(),
        }
        told = {name: None if rate is None else round(rate, 4) for name, rate in rates.items()}
        overall = overall_of(told)
        return {
            "overall": overall,
            "threshold": threshold,
            "passed": overall >= threshold,
            **told,
            "lengths": {what: lengths.value() for what, lengths in self._lengths.items()},
            "tasks": dict(sorted(self._tasks.items())),
            "labels": dict(sorted(self._labels.most_common(_MOST_LABELS))),
        }

    def _coverage(self) -> float | None:
        if not self._categories:
            return None
        # Who has a category has those above it too.
        covered = {label[:end] for label in self._labels for end in (*_slashes(label), len(label))}
        return len(self._categories & covered) / len(self._categories)


def _slashes(label: str) -> list[int]:
    return [place for place, character in enumerate(label) if character == "/"]


def balance(labels: Mapping[str, int]) -> float | None:
    """Entropy by that of an even spread: 1 when all are equally frequent. None for less than two labels."""
    if len(labels) < 2:
        return None
    total = sum(labels.values())
    entropy = -math.fsum(count / total * math.log(count / total) for count in labels.values())
    return entropy / math.log(len(labels))


def overall_of(rates: Mapping[str, float | None]) -> float:
    """The mean of all there are, each turned so that 1 is best."""
    good = [1 - rate if name in BAD else rate for name, rate in rates.items() if rate is not None]
    return round(math.fsum(good) / len(good), 4)


BAD: Final = ("near_duplicate_share", "split_leakage", "empty_truncated_share")

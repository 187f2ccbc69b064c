"""Takes out what is there twice, and puts the rest into splits that share no document and nothing that is alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Final, TypeVar

from worker.jobs.dataset_generation.alike import Index
from worker.jobs.dataset_generation.check import Reason
from worker.jobs.dataset_generation.modes import Split
from worker.jobs.dataset_generation.parameters import Parameters
from worker.jobs.dataset_generation.progress import DEDUPLICATE, Progress
from worker.jobs.dataset_generation.rules import Rules
from worker.jobs.dataset_generation.splits import assign, check_filled
from worker.jobs.dataset_generation.spool import Spool
from worker.jobs.shared.duplicates import Duplicates, Shape, Shingles

# Texts that have this much in common may not be in two splits, whatever the threshold for duplicates is.
LEAK: Final = 0.5
_BATCH: Final = 500

_DOUBLES: Final = "Looking for duplicates"
_ACROSS: Final = "Looking for what is alike in two splits"

T = TypeVar("T")
# The numbers of entries that stand or fall together, and the shape of the text that they are about.
Unit = tuple[Sequence[int], Shape]


class Separation:
    def __init__(self, spool: Spool, parameters: Parameters, progress: Progress) -> None:
        self._spool = spool
        self._parameters = parameters
        self._progress = progress
        self._shares = parameters.shares
        self._doubles = set(spool.doubles)
        # Those with records about a part of a text.
        self._tasks = sorted(spool.focused_tasks)

    def deduplicate(self) -> None:
        """Takes duplicates out, unless they are wanted.

        Of two texts that are alike all records of the later one go; of two records of the same kind that are about the
        same part of a text, the later one; so too of two that are made of one text, with inputs and answers that are
        alike, and of equal ones.
        """
        threshold = Rules.of(self._parameters).threshold
        for task in (None, *self._tasks):
            same = Duplicates(threshold, self._parameters.seed)
            for entries, shape in self._watched(self._units(task), _DOUBLES, (0.0, 0.6)):
                if same.first_of(shape) is not None:
                    self._doubles.update(entries)
        if self._parameters.dedup_threshold:
            self._refuse(self._doubles, "duplicate")

    def duplicates_left(self) -> int:
        """How many records are duplicates of others that are kept too."""
        return sum(self._spool.fate(entry) is None for entry in self._doubles)

    def split(self) -> int:
        """Assigns all records that are kept. How many are left that are too much like one of another split."""
        what = "documents" if self._parameters.split_by == "document" else "chunks"
        sizes = Counter(self._group(entry) for entry in self._spool.kept())
        assigned = assign(sizes, self._shares, self._parameters.seed, what)
        for entry in self._spool.kept():
            self._spool.put(entry, assigned[self._group(entry)])
        left: set[int] = set()
        for one, other in self._alike_across():
            self._separate(one, other)
            left.update(self._leaking(one, other))
        counts = Counter(self._spool.split(entry) for entry in self._spool.kept())
        check_filled({split: counts[split] for split in self._shares}, what)
        return len(left)

    def _alike_across(self) -> Iterator[tuple[Sequence[int], Sequence[int]]]:
        """What is alike in two splits. All but the largest are looked up in: each pair has one side there."""
        largest = max(self._shares, key=lambda split: self._shares[split])
        small: list[Sequence[int]] = []
        index = Index(self._remembered(small, largest), LEAK)
        for entries, shape in self._watched(self._all_units(), _ACROSS, (0.6, 1.0)):
            for number in index.alike(shape.shingles):
                if self._split_of(entries) != self._split_of(small[number]):
                    yield entries, small[number]

    def _remembered(self, small: list[Sequence[int]], largest: Split) -> Iterator[Shingles]:
        for entries, shape in self._all_units():
            if self._split_of(entries) != largest:
                small.append(entries)
                yield shape.shingles

    def _all_units(self) -> Iterator[Unit]:
        return chain.from_iterable(self._units(task) for task in (None, *self._tasks))

    def _units(self, task: str | None) -> Iterator[Unit]:
        """The texts with those of their records that are kept; with a task its records, about a part of a text each."""
        if task is None:
            for item in self._spool.items:
                entries = [entry for entry in self._spool.entries_of(item) if self._spool.fate(entry) is None]
                if entries:
                    yield entries, self._spool.shape_of_text(item)
            return
        for number in self._spool.focused(task):
            if self._spool.fate(number) is None:
                yield [number], self._spool.shape_of_focus(number)

    def _watched(self, things: Iterable[T], step: str, part: tuple[float, float]) -> Iterator[T]:
        """The same, with progress."""
        for done, thing in enumerate(things):
            if done % _BATCH == 0:
                self._progress.note(DEDUPLICATE, step, done, len(self._spool), part)
            yield thing

    def _group(self, entry: int) -> str:
        item = self._spool.item_of(entry)
        return self._spool.document_of(item) if self._parameters.split_by == "document" else str(item)

    def _separate(self, one: Sequence[int], other: Sequence[int]) -> None:
        """Takes out the side with the larger share: the smaller one loses less by it."""
        if self._leaking(one, other):
            sides = sorted((one, other), key=lambda side: self._shares[self._split_of(side)])
            self._refuse(sides[1], "leakage")

    def _leaking(self, one: Sequence[int], other: Sequence[int]) -> list[int]:
        """The kept ones of both sides when these are in different splits."""
        kept = [[entry for entry in side if self._spool.fate(entry) is None] for side in (one, other)]
        is_leak = all(kept) and self._split_of(one) != self._split_of(other)
        return kept[0] + kept[1] if is_leak else []

    def _split_of(self, entries: Sequence[int]) -> Split:
        return self._spool.split(entries[0])

    def _refuse(self, entries: Iterable[int], reason: Reason) -> None:
        for entry in entries:
            self._spool.refuse(entry, reason)

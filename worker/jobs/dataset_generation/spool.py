"""Records between the stages: the whole of them in files, and of each a few numbers in memory."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Final, NamedTuple, Self

import orjson

from worker.jobs.dataset_generation.check import REASONS, Reason
from worker.jobs.dataset_generation.made import Made
from worker.jobs.dataset_generation.model import Draft
from worker.jobs.dataset_generation.modes import SPLITS, SchemaName, Split
from worker.jobs.dataset_generation.records import record_of
from worker.jobs.dataset_generation.shapes import Shapes
from worker.jobs.shared.duplicates import DIGEST_BYTES, Shape
from worker.jobs.shared.files import Record
from worker.jobs.shared.workspace import storing


class Entry(NamedTuple):
    """The draft of a record that has passed the checks. `known`: the labels of its item."""

    item: int
    task: str
    instruction: str
    input: str
    output: str
    parts: list[str]
    focus: str | None
    labels: list[str]
    known: list[str]

    def record(self, schema: SchemaName) -> Record:
        parts, labels = tuple(self.parts), tuple(self.labels)
        draft = Draft(self.task, self.instruction, self.input, self.output, parts, self.focus, labels)
        return record_of(draft, schema)


class Source(NamedTuple):
    """The item of an entry. `known`: its labels."""

    document_id: str
    chunk_id: str
    text: str
    known: list[str]


class Spool:
    """First filled, then read as often as needed. Fates and splits may be set in between. Raises StorageError.

    `doubles`: numbers of the entries that are equal to an earlier one, or say the same as an earlier one of their item.
    """

    def __init__(self, folder: Path) -> None:
        with storing(), ExitStack() as opened:
            self._entries = opened.enter_context((folder / "entries.jsonl").open("w+b"))
            self._sources = opened.enter_context((folder / "sources.jsonl").open("w+b"))
            self._texts = opened.enter_context(Shapes(folder / "texts.shapes"))
            self._focuses = opened.enter_context(Shapes(folder / "focuses.shapes"))
            self._opened = opened.pop_all()
        self._items = array("l")
        self._fates = bytearray()
        self._splits = bytearray()
        # For each entry 1 + the number of its task when it is about a part of a text, else 0.
        self._focused = bytearray()
        self.focused_tasks: list[str] = []
        self._documents: list[str] = []
        self._numbers: dict[str, int] = {}
        self._document_of = array("l")
        # Of all records.
        self._digests: set[bytes] = set()
        self.doubles: set[int] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def __len__(self) -> int:
        return len(self._items)

    def add(self, made: Made) -> None:
        facts, first = made.facts, len(self)
        with storing():
            self._sources.write(made.sources.getbuffer())
            self._entries.write(made.entries.getbuffer())
            self._texts.add(made.texts.getvalue(), facts.texts)
            self._focuses.add(made.focuses.getvalue(), facts.focuses)
        for document_id, count in zip(facts.documents, facts.counts, strict=True):
            self._items.extend([len(self._document_of)] * count)
            self._document_of.append(self._number(document_id))
        self._fates.extend([_KEPT] * len(facts.focused))
        self._splits.extend([0] * len(facts.focused))
        self._focused.extend(0 if task is None else self._focused_task(task) for task in facts.focused)
        self.doubles.update(first + place for place in facts.doubles)
        self._find_equal(made.digests.getvalue(), first)

    def _find_equal(self, digests: bytes, first: int) -> None:
        for place, start in enumerate(range(0, len(digests), DIGEST_BYTES)):
            digest = digests[start : start + DIGEST_BYTES]
            if digest in self._digests:
                self.doubles.add(first + place)
            self._digests.add(digest)

    def _focused_task(self, task: str) -> int:
        if task not in self.focused_tasks:
            self.focused_tasks.append(task)
        return self.focused_tasks.index(task) + 1

    def _number(self, document_id: str) -> int:
        number = self._numbers.setdefault(document_id, len(self._documents))
        if number == len(self._documents):
            self._documents.append(document_id)
        return number

    def entries(self) -> Iterator[tuple[Entry, Source]]:
        """All, also those with a fate, each with its item."""
        sources = enumerate(self.sources())
        number, source = -1, _NO_SOURCE
        for item, line in zip(self._items, _lines(self._entries), strict=True):
            while number < item:
                number, source = next(sources)
            task, instruction, asked, *others = orjson.loads(line)
            asked = source.text if asked is None else asked
            yield Entry._make([item, task, instruction, asked, *others, source.known]), source

    def focused(self, task: str) -> Iterator[int]:
        """Numbers of the entries of a task that are about a part of a text."""
        wanted = self.focused_tasks.index(task) + 1
        return (number for number, of_task in enumerate(self._focused) if of_task == wanted)

    def shape_of_focus(self, entry: int) -> Shape:
        """Of the part of the text that it is about."""
        with storing():
            return self._focuses[entry]

    def shape_of_text(self, item: int) -> Shape:
        with storing():
            return self._texts[item]

    def sources(self) -> Iterator[Source]:
        """In the order of the items."""
        for line in _lines(self._sources):
            yield Source(*orjson.loads(line))

    @property
    def items(self) -> range:
        return range(len(self._document_of))

    def item_of(self, entry: int) -> int:
        return self._items[entry]

    def document_of(self, item: int) -> str:
        """Its id."""
        return self._documents[self._document_of[item]]

    def entries_of(self, item: int) -> range:
        return range(bisect_left(self._items, item), bisect_right(self._items, item))

    def refuse(self, entry: int, reason: Reason) -> None:
        if self._fates[entry] == _KEPT:
            self._fates[entry] = REASONS.index(reason)

    def fate(self, entry: int) -> Reason | None:
        """Why it is refused, or None."""
        fate = self._fates[entry]
        return None if fate == _KEPT else REASONS[fate]

    def kept(self) -> Iterator[int]:
        """Numbers of the entries that are not refused."""
        return (entry for entry, fate in enumerate(self._fates) if fate == _KEPT)

    def put(self, entry: int, split: Split) -> None:
        self._splits[entry] = SPLITS.index(split)

    def split(self, entry: int) -> Split:
        return SPLITS[self._splits[entry]]


_KEPT: Final = 255
_NO_SOURCE: Final = Source("", "", "", [])


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """From a place of its own, so that two may read at the same time."""
    with storing():
        file.flush()
        with Path(file.name).open("rb") as reader:
            yield from reader

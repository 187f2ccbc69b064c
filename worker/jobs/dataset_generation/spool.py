"""Records between the stages: the whole of them in files, and of each a few numbers in memory."""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, Self

import orjson

from worker.jobs.dataset_generation.check import REASONS, Reason
from worker.jobs.dataset_generation.model import Draft, Item
from worker.jobs.dataset_generation.modes import SPLITS, SchemaName, Split
from worker.jobs.dataset_generation.records import record_of
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
    """First filled, then read as often as needed. Fates and splits may be set in between. Raises StorageError."""

    def __init__(self, folder: Path) -> None:
        with storing():
            self._entries = (folder / "entries.jsonl").open("w+b")
            self._sources = (folder / "sources.jsonl").open("w+b")
        self._items = array("l")
        self._fates = bytearray()
        self._splits = bytearray()
        # For each entry 1 + the number of its task when it is about a part of a text, else 0.
        self._focused = bytearray()
        self.focused_tasks: list[str] = []
        self._documents: list[str] = []
        self._numbers: dict[str, int] = {}
        self._document_of = array("l")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._entries.close()
        self._sources.close()

    def __len__(self) -> int:
        return len(self._items)

    def add(self, item: Item, drafts: Sequence[Draft]) -> None:
        """Nothing is kept of an item without drafts."""
        if not drafts:
            return
        number = len(self._document_of)
        self._document_of.append(self._number(item.document_id))
        known = [label.text for label in item.labels]
        with storing():
            self._sources.write(orjson.dumps((item.document_id, item.chunk_id, item.text, known)) + b"\n")
            for draft in drafts:
                # Most inputs are the text of the item, which need not be there once more.
                said = draft._replace(input=None) if draft.input == item.text else draft  # type: ignore[arg-type]
                self._entries.write(orjson.dumps((number, *said)) + b"\n")
                self._items.append(number)
                self._fates.append(_KEPT)
                self._splits.append(0)
                self._focused.append(0 if draft.focus is None else self._focused_task(draft.task))

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
        for line in _lines(self._entries):
            said: list[Any] = orjson.loads(line)
            while number < said[0]:
                number, source = next(sources)
            entry = Entry._make([*said, source.known])
            yield entry if said[_INPUT] is not None else entry._replace(input=source.text), source

    def focuses(self, task: str) -> Iterator[tuple[int, str]]:
        """Numbers of the entries of a task that are about a part of a text, and that part."""
        wanted = self.focused_tasks.index(task) + 1
        for number, line in enumerate(_lines(self._entries)):
            if self._focused[number] == wanted:
                yield number, orjson.loads(line)[_FOCUS]

    def sources(self) -> Iterator[Source]:
        """In the order of the items."""
        for line in _lines(self._sources):
            yield Source(*orjson.loads(line))

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
# Their places in the line of an entry.
_INPUT: Final = 3
_FOCUS: Final = 6


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """From a place of its own, so that two may read at the same time."""
    with storing():
        file.flush()
        with Path(file.name).open("rb") as reader:
            yield from reader

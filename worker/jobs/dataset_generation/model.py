"""What goes through the job: items, each a text and what is known of it, and drafts of records made of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Label(NamedTuple):
    """A category of an item; `path`: names from the first level down."""

    path: tuple[str, ...]
    confidence: float

    @property
    def text(self) -> str:
        return "/".join(self.path)


class Span(NamedTuple):
    """A part of the item's text. `is_entity`: it is a name or a value, not a statement about its category."""

    path: tuple[str, ...]
    text: str
    is_entity: bool


class Item(NamedTuple):
    """A chunk. `begins_section`: the chunk before it stands under another heading."""

    number: int
    chunk_id: str
    document_id: str
    text: str
    headings: tuple[str, ...] = ()
    begins_section: bool = False
    labels: tuple[Label, ...] = ()
    spans: tuple[Span, ...] = ()


class Draft(NamedTuple):
    """A record before it has the form of a schema.

    `instruction`: what is asked; `input`: the text it is asked of, or ""; `parts`: what `output` is made of, each as it
    stands in the source, or of what a model wrote the passages that it rests on; `focus`: the part of the source that
    the record is about, None for all of it.
    """

    task: str
    instruction: str
    input: str
    output: str
    parts: tuple[str, ...]
    focus: str | None = None
    labels: tuple[str, ...] = ()


class Generator(Protocol):
    """The one place where records come from: offline from the texts themselves, else from a model."""

    def drafts(self, items: Sequence[Item]) -> Sequence[Sequence[Draft]]:
        """For each item at most `datasets_per_chunk` drafts, the same ones in every run."""
        ...

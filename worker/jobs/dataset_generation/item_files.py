"""Items in files, some in each: they are read by whoever works on them, in this process or in another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import orjson

from worker.jobs.dataset_generation.model import Item, Label, Span
from worker.jobs.shared.portions import portions
from worker.jobs.shared.workspace import storing


def write_items(items: Iterable[Item], folder: Path, size: int) -> Iterator[Path]:
    """Yields each file when it is there: with `size` items, or fewer long ones. Raises StorageError."""
    for number, batch in enumerate(portions(items, size, lambda item: len(item.text))):
        file = folder / f"items.{number}.jsonl"
        with storing():
            file.write_bytes(b"".join(map(_line, batch)))
        yield file


def read_items(file: Path) -> list[Item]:
    """Raises StorageError."""
    with storing():
        return [_item(*orjson.loads(line)) for line in file.read_bytes().splitlines()]


def _line(item: Item) -> bytes:
    labels = [(label.path, label.confidence) for label in item.labels]
    spans = [(span.path, span.text, span.is_entity) for span in item.spans]
    return orjson.dumps((*item[:6], labels, spans), option=orjson.OPT_APPEND_NEWLINE)


def _item(
    number: int,
    chunk_id: str,
    document_id: str,
    text: str,
    headings: Sequence[str],
    begins_section: bool,
    labels: Sequence[tuple[Sequence[str], float]],
    spans: Sequence[tuple[Sequence[str], str, bool]],
) -> Item:
    return Item(
        number,
        chunk_id,
        document_id,
        text,
        tuple(headings),
        begins_section,
        tuple(Label(tuple(path), confidence) for path, confidence in labels),
        tuple(Span(tuple(path), of_text, is_entity) for path, of_text, is_entity in spans),
    )

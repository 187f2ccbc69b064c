"""Where the strategies begin a new chunk whatever its size. For the document process only."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from worker.jobs.document_processing.errors import DocumentError
from worker.jobs.document_processing.parsed import Parsed
from worker.jobs.document_processing.rules import compiled
from worker.jobs.document_processing.task import Chunking

if TYPE_CHECKING:
    from worker.jobs.document_processing.topics import Topics

PATTERN_SECONDS: Final = 5.0
_MOST_BORDERS: Final = 1_000_000
_NO_BLANK: Final = re.compile(r"\S")


def borders(parsed: Parsed, chunking: Chunking, topics: Topics | None) -> list[int]:
    """Offsets in order, none of them before a blank unless it is a heading's. `topics` is for "semantic".

    Raises DocumentError `pattern_timeout` or `too_many_chunks`.
    """
    text = parsed.text
    match chunking.strategy:
        case "heading":
            return [heading.start for heading in parsed.headings if heading.level in chunking.heading_levels]
        case "delimiter":
            return sorted(_words_after(text, ends_of(text, chunking.delimiters[0], 0, len(text))))
        case "schema":
            return sorted(_by_rules(text, chunking))
        case "semantic" if topics is not None:
            return topics.borders(text, chunking.semantic_threshold)
    return []


def ends_of(text: str, delimiter: str, low: int, high: int) -> Iterator[int]:
    """Where the delimiters in `text[low:high]` end."""
    place = text.find(delimiter, low, high)
    while place >= 0:
        yield place + len(delimiter)
        place = text.find(delimiter, place + len(delimiter), high)


def _by_rules(text: str, chunking: Chunking) -> set[int]:
    deadline = time.monotonic() + PATTERN_SECONDS
    found = [_words_after(text, _places(text, kind, value, deadline)) for kind, value in chunking.rules]
    return set.intersection(*found) if chunking.combine == "all" else set.union(*found)


def _places(text: str, kind: str, value: str, deadline: float) -> Iterator[int]:
    if kind == "delimiter":
        yield from ends_of(text, value, 0, len(text))
        return
    try:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        for match in compiled(value).finditer(text, timeout=left):
            yield match.start()
            # The library counts the time of each search alone.
            if time.monotonic() > deadline:
                raise TimeoutError
    except TimeoutError:
        message = f"The patterns of schema_definition took more than {PATTERN_SECONDS:g} seconds on this document."
        raise DocumentError("pattern_timeout", message, stage="chunk") from None


def _words_after(text: str, places: Iterator[int]) -> set[int]:
    """The first characters from there on that are no blanks: so rules agree whoever takes the blanks."""
    found: set[int] = set()
    for place in places:
        match = _NO_BLANK.search(text, place)
        if match is None:
            break
        found.add(match.start())
        if len(found) > _MOST_BORDERS:
            message = f"The document would be cut at more than {_MOST_BORDERS:,} places; choose other rules."
            raise DocumentError("too_many_chunks", message, stage="chunk")
    return found

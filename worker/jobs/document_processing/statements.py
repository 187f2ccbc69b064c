"""What a text says one after the other: its sentences. For the document process only."""

from __future__ import annotations

import re
from typing import Final

from worker.jobs.document_processing.measure import Span, sentences

# Plain text often marks paragraphs by their first line only. Where several lines are indented, it is a table or code.
_PARAGRAPH: Final = re.compile(r"(?:^|\n)(?![ \t]{2})(?=[^\S\n]*+\S)[^\n]*+\n[ \t]{2,}+(?=\S)")


def statements(text: str) -> list[Span]:
    """Sentences in order, cut where a paragraph begins that only its indented first line tells of."""
    starts = iter([match.end() for match in _PARAGRAPH.finditer(text)])
    found: list[Span] = []
    start = next(starts, None)
    for low, high in sentences(text):
        while start is not None and start < high:
            if start > low:
                found.append((low, _end(text, low, start)))
                low = start
            start = next(starts, None)
        found.append((low, high))
    return found


def _end(text: str, low: int, start: int) -> int:
    """Before the blanks in front of `start`."""
    return low + len(text[low:start].rstrip())

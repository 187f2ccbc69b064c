"""Cut a text into chunks of bounded size at sensible places. For the document process only.

The splitter cuts the text into pieces without overlap; pieces that are too short are joined to a neighbour; then each
piece is begun a little earlier, which makes the overlap. All three know the places in the text exactly.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from worker.jobs.document_processing.errors import DocumentError
from worker.jobs.document_processing.measure import Measure, Span, earliest, start_of_character, starts_of_words
from worker.jobs.document_processing.parsed import Heading, Parsed
from worker.jobs.document_processing.task import Chunking

MAX_CHUNKS = 200_000
_MAX_COPIES = 20
_SMALL_TEXT = 1_000_000


@dataclass(frozen=True, slots=True)
class Chunk:
    """`text[start:end]` of the normal form. Pages count from 1; `headings` is the path at `start`, outermost first."""

    index: int
    start: int
    end: int
    page_start: int | None
    page_end: int | None
    headings: list[str]


def chunk(parsed: Parsed, chunking: Chunking) -> list[Chunk]:
    """Chunks in order, that cover every character but blanks.

    Neighbours share at most `overlap`, and nothing across a heading: what stands before it belongs to another matter.
    Raises DocumentError `too_many_chunks`.
    """
    measure = Measure(chunking, markdown=parsed.type == "markdown" or bool(parsed.headings))
    pieces = _join_short(parsed.text, measure.split(parsed.text), measure)
    _check_amount(len(pieces), 0, len(parsed.text))
    spans = list(_with_overlap(parsed, pieces, measure))
    _check_amount(len(spans), sum(end - start for start, end in spans), len(parsed.text))
    paths = _heading_paths(parsed.headings, spans)
    return [
        Chunk(index, start, end, _page(parsed, start), _page(parsed, end - 1), path)
        for index, ((start, end), path) in enumerate(zip(spans, paths, strict=True))
    ]


def _check_amount(chunks: int, characters: int, source: int) -> None:
    if chunks > MAX_CHUNKS or characters > _MAX_COPIES * max(source, _SMALL_TEXT):
        message = "The document would give too many chunks; choose a larger chunk_size or a smaller overlap."
        raise DocumentError("too_many_chunks", message, stage="chunk")


def _join_short(text: str, pieces: list[Span], measure: Measure) -> list[Span]:
    """Join each piece that is too short to the one before it or after it, where both together are not too large."""
    joined: list[Span] = []
    for piece in pieces:
        if joined and (measure.is_short(joined[-1]) or measure.is_short(piece)):
            joined[-1:] = _join(text, joined[-1], piece, measure)
        else:
            joined.append(piece)
    return joined


def _join(text: str, first: Span, second: Span, measure: Measure) -> list[Span]:
    """One piece if it fits, else two of about the same size, else the two as they are."""
    start, end = first[0], second[1]
    if measure.fits(text[start:end]):
        return [(start, end)]
    halves = [(start + a, start + b) for a, b in measure.split_evenly(text[start:end])]
    return [first, second] if any(map(measure.is_short, halves)) else halves


def _with_overlap(parsed: Parsed, pieces: list[Span], measure: Measure) -> Iterator[Span]:
    text = parsed.text
    borders = [heading.start for heading in parsed.headings]
    lowest = 0
    for start, end in pieces:
        passed = bisect_right(borders, start)
        if passed:
            lowest = max(lowest, borders[passed - 1])
        begin = _begin_earlier(text, lowest, (start, end), measure)
        yield begin, end
        lowest = begin + 1


def _begin_earlier(text: str, lowest: int, piece: Span, measure: Measure) -> int:
    """The earliest start, not before `lowest`, with which overlap and size stay within their limits."""
    start, end = piece

    def laps(begin: int) -> bool:
        return measure.fits_overlap(text[begin:start])

    def fits(begin: int) -> bool:
        return laps(begin) and measure.fits(text[begin:end])

    lowest = max(lowest, start - measure.overlap_reach)
    for places in (starts_of_words(text, lowest, start), range(lowest, start)):
        begin = start_of_character(text, earliest(places, laps, start), start)
        # Nearly always the whole fits when its two parts do, and then it is measured only once.
        if not fits(begin):
            begin = start_of_character(text, earliest(places, fits, start), start)
        if begin < start and fits(begin):
            return begin
    return start


def _heading_paths(headings: list[Heading], spans: list[Span]) -> Iterator[list[str]]:
    path: list[Heading] = []
    position = 0
    for start, _ in spans:
        while position < len(headings) and headings[position].start <= start:
            heading = headings[position]
            path = [*(outer for outer in path if outer.level < heading.level), heading]
            position += 1
        yield [heading.title for heading in path]


def _page(parsed: Parsed, offset: int) -> int | None:
    return None if parsed.page_starts is None else bisect_right(parsed.page_starts, offset)

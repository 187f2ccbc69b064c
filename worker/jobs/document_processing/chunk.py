"""Cut a text into chunks of bounded size at sensible places. For the document process only.

The strategy's borders and the splitter cut the text into pieces without overlap; pieces that are too short are joined
to a neighbour; then each piece is begun a little earlier, which makes the overlap. All know the places exactly.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.jobs.document_processing.borders import borders
from worker.jobs.document_processing.errors import DocumentError
from worker.jobs.document_processing.measure import Measure, Span, earliest, start_of_character, starts_of_words
from worker.jobs.document_processing.parsed import Heading, Parsed
from worker.jobs.document_processing.sections import cut_section, sections_of
from worker.jobs.document_processing.task import Chunking

if TYPE_CHECKING:
    from worker.jobs.document_processing.topics import Topics

MAX_CHUNKS = 200_000
_MAX_COPIES = 20
_NO_BLANK = re.compile(r"\S")
_SMALL_TEXT = 1_000_000


@dataclass(frozen=True, slots=True)
class Chunk:
    """`text[start:end]` of the normal form. Pages count from 1; `headings` is the path at its first words that are no
    heading, outermost first."""

    index: int
    start: int
    end: int
    page_start: int | None
    page_end: int | None
    headings: list[str]


def chunk(
    parsed: Parsed, chunking: Chunking, topics: Topics | None = None, given: Sequence[int] | None = None
) -> list[Chunk]:
    """Chunks in order, that cover every character but blanks. `topics` or the `given` borders are for "semantic".

    Neighbours share at most `overlap`, and nothing across a heading or a border of the strategy: what stands before it
    belongs to another matter. Raises DocumentError `too_many_chunks` or `pattern_timeout`.
    """
    measure = Measure(chunking, markdown=parsed.type not in ("text", "pdf") or bool(parsed.headings))
    cuts = borders(parsed, chunking, topics) if given is None else list(given)
    pieces = _split(parsed, chunking, cuts, measure)
    _check_amount(len(pieces), 0, len(parsed.text))
    walls = sorted({*cuts, *(heading.start for heading in parsed.headings)})
    spans = list(_with_overlap(parsed.text, pieces, walls, measure))
    _check_amount(len(spans), sum(end - start for start, end in spans), len(parsed.text))
    paths = _heading_paths(parsed, spans)
    return [
        Chunk(index, start, end, _page(parsed, start), _page(parsed, end - 1), path)
        for index, ((start, end), path) in enumerate(zip(spans, paths, strict=True))
    ]


def _check_amount(chunks: int, characters: int, source: int) -> None:
    if chunks > MAX_CHUNKS or characters > _MAX_COPIES * max(source, _SMALL_TEXT):
        message = "The document would give too many chunks; choose a larger chunk_size or a smaller overlap."
        raise DocumentError("too_many_chunks", message, stage="chunk")


def _split(parsed: Parsed, chunking: Chunking, cuts: list[int], measure: Measure) -> list[Span]:
    """The pieces without overlap."""
    text = parsed.text
    match chunking.strategy:
        case "token" | "character":
            return _join_short(text, measure.split(text), measure)
        case "heading":
            pieces = [piece for section in sections_of(text, cuts) for piece in _split_section(text, section, measure)]
        case strategy:
            further = chunking.delimiters[1:] if strategy == "delimiter" else ()
            cut = (cut_section(text, section, measure, further) for section in sections_of(text, cuts))
            pieces = [piece for part in cut for piece in _join_short(text, part, measure)]
    return _join_short_sections(text, pieces, measure)


def _split_section(text: str, section: Span, measure: Measure) -> list[Span]:
    start, end = section
    within = _join_short(text[start:end], measure.split(text[start:end]), measure)
    return [(start + low, start + high) for low, high in within]


def _join_short_sections(text: str, pieces: list[Span], measure: Measure) -> list[Span]:
    """Join what is short, such as a heading without a text, to what follows it, else to what stands before it."""
    forward: list[Span] = []
    for piece in pieces:
        short = bool(forward) and measure.is_short(forward[-1])
        forward[-1:] = _whole(text, forward[-1:], piece, measure, wanted=short)
    backward: list[Span] = []
    for piece in forward:
        backward[-1:] = _whole(text, backward[-1:], piece, measure, wanted=measure.is_short(piece))
    return backward


def _whole(text: str, before: list[Span], piece: Span, measure: Measure, *, wanted: bool) -> list[Span]:
    """Both as one if that is wanted and fits, else both as they are."""
    if wanted and before and measure.fits(text[before[0][0] : piece[1]]):
        return [(before[0][0], piece[1])]
    return [*before, piece]


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


def _with_overlap(text: str, pieces: list[Span], walls: list[int], measure: Measure) -> Iterator[Span]:
    """`walls`: the places over which no overlap reaches."""
    lowest = 0
    for start, end in pieces:
        passed = bisect_right(walls, start)
        if passed:
            lowest = max(lowest, walls[passed - 1])
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
        is_good = fits(begin)
        if not is_good:
            begin = start_of_character(text, earliest(places, fits, start), start)
            is_good = begin < start and fits(begin)
        if begin < start and is_good:
            return begin
    return start


def _heading_paths(parsed: Parsed, spans: list[Span]) -> Iterator[list[str]]:
    headings = parsed.headings
    path: list[Heading] = []
    position = 0
    for start, end in spans:
        first_words = start
        while position < len(headings) and headings[position].start <= first_words:
            heading = headings[position]
            path = [*(outer for outer in path if outer.level < heading.level), heading]
            position += 1
            if heading.end < end:
                first_words = max(first_words, _skip_blanks(parsed.text, heading.end))
        yield [heading.title for heading in path]


def _skip_blanks(text: str, place: int) -> int:
    match = _NO_BLANK.search(text, place)
    return match.start() if match else len(text)


def _page(parsed: Parsed, offset: int) -> int | None:
    return None if parsed.page_starts is None else bisect_right(parsed.page_starts, offset)

"""The sizes of texts in tokens or characters, and the splitter that cuts by them. For the document process only."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence

from semantic_text_splitter import MarkdownSplitter, TextSplitter

from worker.jobs.document_processing.task import Chunking

Span = tuple[int, int]
Splitter = TextSplitter | MarkdownSplitter

# The vocabularies are compiled into the splitter and found by the name of a model that uses them.
_MODELS = {"o200k": "gpt-4o", "cl100k": "gpt-4"}
# The splitter overflows its stack on very long runs of blanks, and takes quadratic time on very long words and lines.
_LONGEST_WORD = 20_000
_LONGEST_PART = 200_000
_ENDS = ("\n\n", "\n", ". ")
_NEAR = 20
_GAP = re.compile(r"(?<!\s)\s{1000,}")
_UNWIELDY = re.compile(rf"{_GAP.pattern}|(?<!\S)\S{{{_LONGEST_WORD},}}")
_WORD = re.compile(r"(?<=\s)\S")
# More characters than this are hardly ever in one token.
_TOKEN_REACH = 12
# Besides marks: the joiner, skin colours and the letters inside of flags.
_CONTINUES = re.compile("[\u200d\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]")


class Measure:
    """Knows the unit. What is said to fit does fit; the splitter itself is the judge."""

    def __init__(self, chunking: Chunking, *, markdown: bool) -> None:
        self._chunking = chunking
        self._markdown = markdown
        # Room is left for the overlap that comes in front of a piece.
        self._room = chunking.size - chunking.overlap
        self._shortest = min(chunking.min_characters, self._room // 2)
        self._cutter = self._splitter(self._room, trim=True)
        self._even = self._splitter(max(self._room * 5 // 8, 1), trim=True)
        self._whole = self._splitter(chunking.size)
        self._lap = self._splitter(max(chunking.overlap, 1))
        self._piece = self._splitter(self._room)
        # In characters: what is longer does not fit, but for very few texts.
        self.reach = chunking.size * (1 if chunking.strategy == "character" else _TOKEN_REACH)
        self.overlap_reach = chunking.overlap * (1 if chunking.strategy == "character" else _TOKEN_REACH)

    def split(self, text: str) -> list[Span]:
        return _cut(text, self._cutter)

    def split_evenly(self, text: str) -> list[Span]:
        """Pieces for a text that is a little larger than one: two as a rule."""
        return _cut(text, self._even)

    def is_short(self, span: Span) -> bool:
        return span[1] - span[0] < self._shortest

    def fits(self, text: str) -> bool:
        return self._is_one(self._whole, text, self._chunking.size)

    def fits_overlap(self, text: str) -> bool:
        return self._is_one(self._lap, text, self._chunking.overlap)

    def fits_whole(self, text: str) -> bool:
        """Of a text of any length: whether it is one chunk, with no room left for an overlap."""
        return self._is_handy(text) and self.fits(text)

    def fits_room(self, text: str) -> bool:
        """Of a text of any length: whether it is one piece, in front of which an overlap has room."""
        return self._is_handy(text) and self._is_one(self._piece, text, self._room)

    def _is_handy(self, text: str) -> bool:
        return len(text) <= self.reach and not _UNWIELDY.search(text)

    def _is_one(self, splitter: Splitter, text: str, limit: int) -> bool:
        if self._chunking.strategy == "character":
            return len(text) <= limit
        if _GAP.search(text):
            return False
        # A token has one byte at least.
        if len(text) <= limit and text.isascii():
            return True
        return len(splitter.chunks(text)) <= 1

    def _splitter(self, capacity: int, *, trim: bool = False) -> Splitter:
        kind: type[Splitter] = MarkdownSplitter if self._markdown and trim else TextSplitter
        if self._chunking.strategy == "character":
            return kind(capacity, trim=trim)
        return kind.from_tiktoken_model(_MODELS[self._chunking.tokenizer], capacity, trim=trim)


def sentences(text: str) -> list[Span]:
    """In order, without blanks around them; every character but blanks is in one."""
    # Only now: most strategies need no sentences.
    from worker.jobs.shared.sentences import sentences_of

    return [(low + start, low + end) for low, high in _parts(text) for start, end in sentences_of(text[low:high])]


def _cut(text: str, splitter: Splitter) -> list[Span]:
    return [
        (low + start, low + start + len(piece))
        for low, high in _parts(text)
        for start, piece in splitter.chunk_indices(text[low:high])
        if piece.strip()
    ]


def _parts(text: str) -> Iterator[Span]:
    """What the splitter takes one after the other: the text without its gaps, in parts of bounded size."""
    for start, end in _without_long_words(text):
        while end - start > _LONGEST_PART:
            cut = _good_end(text, start + _LONGEST_PART, end)
            yield start, cut
            start = cut
        yield start, end


def _good_end(text: str, latest: int, end: int) -> int:
    """Where, not long before `latest`, the last paragraph, line, sentence or word has ended; else about there."""
    low = latest - _LONGEST_WORD
    for mark in _ENDS:
        place = text.rfind(mark, low, latest)
        if place >= 0:
            return place + len(mark)
    words = starts_of_words(text, low, latest)
    return words[-1] if words else start_of_character(text, latest, min(latest + _NEAR, end))


def _without_long_words(text: str) -> Iterator[Span]:
    """The text without its gaps and with its longest words cut."""
    start = 0
    for match in _UNWIELDY.finditer(text):
        low, high = match.span()
        if text[low].isspace():
            yield start, low
            start = high
        else:
            for place in range(low + _LONGEST_WORD, high - _NEAR, _LONGEST_WORD):
                cut = next((near for near in range(place, place + _NEAR) if _begins_character(text, near)), place)
                yield start, cut
                start = cut
    yield start, len(text)


def starts_of_words(text: str, low: int, high: int) -> list[int]:
    """Offsets in `low` .. `high` - 1 at which a word begins after a blank."""
    return [match.start() for match in _WORD.finditer(text, low, high)]


def start_of_character(text: str, place: int, end: int) -> int:
    """The first offset from `place` on that does not tear a character apart, at most `end`."""
    return next((near for near in range(place, end) if _begins_character(text, near)), end)


def earliest(places: Sequence[int], fits: Callable[[int], bool], otherwise: int) -> int:
    """The first of the ascending `places` from which on they all fit. Looks from the end, where texts are short."""
    good, step = 0, 1
    while good + step <= len(places) and fits(places[-good - step]):
        good, step = good + step, step * 2
    while step > 1:
        step //= 2
        if good + step <= len(places) and fits(places[-good - step]):
            good += step
    return places[-good] if good else otherwise


def _begins_character(text: str, place: int) -> bool:
    character = text[place]
    if character.isspace() or unicodedata.category(character)[0] == "M" or _CONTINUES.match(character):
        return False
    return place == 0 or text[place - 1] != "\u200d"

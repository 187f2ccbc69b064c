"""Cut what lies between two borders: it stays whole where it fits. For the document process only."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise

from worker.jobs.document_processing.borders import ends_of
from worker.jobs.document_processing.measure import Measure, Span


def cut_section(text: str, section: Span, measure: Measure, delimiters: Sequence[str] = ()) -> list[Span]:
    """Pieces without blanks around them. `delimiters`: after which to cut rather than anywhere else, best first."""
    low, high = trimmed(text, section)
    if low == high:
        return []
    if measure.fits_whole(text[low:high]):
        return [(low, high)]
    if not delimiters:
        return [(low + start, low + end) for start, end in measure.split(text[low:high])]
    return _packed(text, (low, high), measure, delimiters)


def trimmed(text: str, span: Span) -> Span:
    part = text[span[0] : span[1]]
    low = span[0] + len(part) - len(part.lstrip())
    return low, max(low, span[1] - (len(part) - len(part.rstrip())))


def _packed(text: str, section: Span, measure: Measure, delimiters: Sequence[str]) -> list[Span]:
    """As many parts in each piece as fit; a part that is too large alone is cut after the next of the delimiters."""
    places = sorted({*section, *ends_of(text, delimiters[0], *section)})
    pieces: list[Span] = []
    done = 0
    while done + 1 < len(places):
        last = _last_that_fits(text, places, done, measure)
        if last > done:
            pieces.append(trimmed(text, (places[done], places[last])))
        else:
            last = done + 1
            pieces += cut_section(text, (places[done], places[last]), measure, delimiters[1:])
        done = last
    return [(low, high) for low, high in pieces if low < high]


def _last_that_fits(text: str, places: list[int], first: int, measure: Measure) -> int:
    """The index of the last place up to which all goes into one piece; `first` itself when nothing does."""
    # Only so far is there any hope, and a longer text costs more to measure.
    last = min(len(places) - 1, bisect_right(places, places[first] + measure.reach) - 1)
    good = first
    while good < last:
        middle = (good + last + 1) // 2
        if measure.fits_room(text[places[first] : places[middle]].strip()):
            good = middle
        else:
            last = middle - 1
    return good


def sections_of(text: str, borders: Sequence[int]) -> list[Span]:
    return list(pairwise(sorted({0, *borders, len(text)})))

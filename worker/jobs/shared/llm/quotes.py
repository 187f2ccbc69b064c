"""Quotes in replies: found in the text, or not believed."""

from __future__ import annotations

from typing import Final, NamedTuple

from rapidfuzz import fuzz

LEAST_ALIKE: Final = 90.0
# A border inside of a word is moved to the word's; what is longer than this is no word.
_LONGEST_WORD: Final = 30
# From here on scripts that write no blanks between words.
_FIRST_WITHOUT_BLANKS: Final = "\u2e80"


class Quote(NamedTuple):
    """`text[start:end] == quote.text`: what the source says, not what the model made of it."""

    start: int
    end: int
    text: str


def find_quote(quote: str, text: str, least_alike: float = LEAST_ALIKE) -> Quote | None:
    """Where the quote stands, exactly or nearly (`least_alike` of 100); None when it does not.

    A quote that is found word for word is taken as it is, else it begins and ends at borders of words.
    """
    quote = quote.strip()
    if not quote:
        return None
    start = text.find(quote)
    if start >= 0:
        return Quote(start, start + len(quote), quote)
    if len(quote) > len(text):
        # Else the text would be looked for in the quote.
        return Quote(0, len(text), text) if fuzz.ratio(quote, text) >= least_alike else None
    found = fuzz.partial_ratio_alignment(quote, text, score_cutoff=least_alike)
    if found is None or found.dest_start == found.dest_end:
        return None
    return _whole_words(text, found.dest_start, found.dest_end)


def _whole_words(text: str, start: int, end: int) -> Quote:
    low, high = start, end
    while low > 0 and _inside_word(text, low) and start - low < _LONGEST_WORD:
        low -= 1
    while high < len(text) and _inside_word(text, high) and high - end < _LONGEST_WORD:
        high += 1
    low = low if not _inside_word(text, low) else start
    high = high if not _inside_word(text, high) else end
    part = text[low:high]
    low += len(part) - len(part.lstrip())
    high -= len(part) - len(part.rstrip())
    return Quote(low, high, text[low:high])


def _inside_word(text: str, place: int) -> bool:
    return 0 < place < len(text) and _in_words(text[place - 1]) and _in_words(text[place])


def _in_words(character: str) -> bool:
    return character.isalnum() and character < _FIRST_WITHOUT_BLANKS

"""Whether a sentence is whole, or what a border has left of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_ENDS: Final = tuple(".!?…。！？؟।")
# They may follow the end of a sentence.
_CLOSING: Final = "\"'”’»)]*_`"


def is_whole(sentence: str) -> bool:
    """False for what a chunk's border, a heading or a table has left of a sentence."""
    return not sentence[0].islower() and sentence[0] not in "|#" and _is_over(sentence)


def has_ended(text: str) -> bool:
    return _is_over(text.rstrip())


def _is_over(text: str) -> bool:
    return text.rstrip(_CLOSING).endswith(_ENDS)


def without_torn_ends(text: str, places: Sequence[tuple[int, int]]) -> str:
    """The part of the text from its first to its last whole sentence; all of it when there is none."""
    whole = [place for place in places if is_whole(text[place[0] : place[1]])]
    return text[whole[0][0] : whole[-1][1]] if whole else text.strip()

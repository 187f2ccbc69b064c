"""Words of texts: what the pattern `\\w+` finds, in half of its time or less."""

from __future__ import annotations

import re
from typing import Final

# Characters beyond ASCII keep their bytes: which of them stand in words is looked up text by text.
_BLANKED: Final = bytes(
    byte if byte >= 128 or chr(byte).isalnum() or byte == ord("_") else ord(" ") for byte in range(256)
)
_ASCII: Final = bytes(range(128))
_WORD: Final = re.compile(r"\w+")
# Each takes a pass through the text.
_MOST_SIGNS: Final = 200


def words_of(text: str) -> list[bytes]:
    """In UTF-8, as they stand in the text."""
    return _only_words(text).split()


def texts_of_words(text: str) -> list[str]:
    return _only_words(text).decode().split()


def has_foreign_letters(text: str) -> bool:
    """Whether letters or digits beyond ASCII are in it."""
    return not text.isascii() and any(map(str.isalnum, _foreign(text.encode("utf-8", "replace"))))


def has_foreign_blanks(text: str) -> bool:
    """Whether blanks beyond ASCII are in it."""
    return not text.isascii() and any(map(str.isspace, _foreign(text.encode("utf-8", "replace"))))


def _only_words(text: str) -> bytes:
    """Blanks in the place of all else."""
    # JSON can hold halves of characters, which no word has.
    data = text.encode("utf-8", "replace")
    if not text.isascii():
        signs = [character for character in _foreign(data) if not character.isalnum()]
        if len(signs) > _MOST_SIGNS:
            return " ".join(_WORD.findall(text)).encode()
        for sign in signs:
            data = data.replace(sign.encode(), b" ")
    return data.translate(_BLANKED)


def _foreign(data: bytes) -> set[str]:
    return set(data.translate(None, _ASCII).decode())

"""Which names of encodings are good for text files. Light: the server uses it at submit."""

from __future__ import annotations

import codecs

_NO_FILE_ENCODINGS = {"idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape"}


def text_encoding(label: str) -> str | None:
    """Python's usual name for it, or None for what is no encoding of text files."""
    try:
        name = codecs.lookup(label).name
        b"a".decode(name, "replace")
    except (LookupError, UnicodeError, ValueError):
        return None
    return None if name in _NO_FILE_ENCODINGS else name

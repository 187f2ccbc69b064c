"""JSON in and out: strict about what comes from outside, tolerant about results that stock producers stored."""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final

import orjson

from server.errors import InvalidJsonError, PayloadTooLargeError

MOST_DEPTH: Final = 32
_INTEGER_BITS: Final = 64
_STRINGS: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
MOST_WRITTEN_LEVELS: Final = 200
MOST_WRITTEN_BITS: Final = 10_000
# No honest body has more objects and lists; a small one of nothing else would take a hundred times its size.
MOST_CONTAINERS: Final = 1_000_000

# Allowed in JSON text but taken for line ends by some readers of event streams. They can only stand inside strings.
_LINE_ENDS: Final = {"\u2028".encode(): rb"\u2028", "\u2029".encode(): rb"\u2029", "\u0085".encode(): rb"\u0085"}


def dumps(value: Any) -> bytes:
    """One line of JSON."""
    try:
        return orjson.dumps(value, default=_readable, option=orjson.OPT_NON_STR_KEYS)
    except orjson.JSONEncodeError:
        # Integers over 64 bits, lone surrogates, hundreds of levels: all only in foreign results.
        return json.dumps(_plain(value), separators=(",", ":")).encode()


def dumps_line(value: Any) -> bytes:
    """One line of JSON for every idea of what a line is."""
    text = dumps(value)
    for character, escape in _LINE_ENDS.items():
        text = text.replace(character, escape)
    return text


def _plain(value: Any, levels: int = MOST_WRITTEN_LEVELS) -> Any:
    if isinstance(value, (dict, list, tuple, set, frozenset)) and not levels:
        return "nested too deeply to be shown"
    if isinstance(value, dict):
        return {str(key): _plain(part, levels - 1) for key, part in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(part, levels - 1) for part in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, int):
        # Python refuses to write longer ones.
        return value if value.bit_length() <= MOST_WRITTEN_BITS else f"an integer of {value.bit_length()} bits"
    return value if value is None or isinstance(value, str) else _readable(value)


def _readable(value: Any) -> Any:
    if isinstance(value, (set, frozenset)):
        return list(value)
    if isinstance(value, (bytes, bytearray)):
        return value.decode("utf-8", "replace")
    return str(value)


def loads_object(text: bytes, most_depth: int = MOST_DEPTH) -> dict[str, Any]:
    """Raises InvalidJsonError for anything that two readers could understand differently, PayloadTooLargeError."""
    if _brackets(text) > MOST_CONTAINERS and _brackets(_STRINGS.sub(b"", text)) > MOST_CONTAINERS:
        raise PayloadTooLargeError(f"The body has more than {MOST_CONTAINERS} objects and lists")
    try:
        _check_depth(orjson.loads(text), most_depth)
        value = json.loads(text, object_pairs_hook=_unique, parse_int=_bounded)
    except ValueError as error:
        raise InvalidJsonError(f"The body is not valid JSON: {_reason(error)}") from None
    if not isinstance(value, dict):
        raise InvalidJsonError("The body must be a JSON object")
    return value


def _brackets(text: bytes) -> int:
    return text.count(b"{") + text.count(b"[")


def _reason(error: ValueError) -> str:
    return error.msg if isinstance(error, json.JSONDecodeError) else str(error)


def _check_depth(value: Any, most_depth: int) -> None:
    level = [value]
    for _ in range(most_depth):
        level = [child for node in level for child in _children(node)]
        if not level:
            return
    raise ValueError(f"nested deeper than {most_depth} levels")


def _children(node: Any) -> list[Any]:
    if isinstance(node, dict):
        return [child for child in node.values() if isinstance(child, (dict, list))]
    if isinstance(node, list):
        return [child for child in node if isinstance(child, (dict, list))]
    return []


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return value


def _bounded(digits: str) -> int:
    # The length first: turning a long text into an integer takes time by the square of its length.
    if len(digits) <= 20 and (value := int(digits)).bit_length() <= _INTEGER_BITS - (value < 0):
        return value
    raise ValueError("an integer does not fit 64 bits")

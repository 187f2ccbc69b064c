"""RQ's wire format, as far as Python reads and writes it: the call in `data`, result values, times.

We write JSON (RQ's JSONSerializer, without its optional zlib layer); what stock producers wrote is read as they wrote
it, told by the first byte, and answered the same way. Source of the rules: rq 3.0.0, `rq/job.py`, `rq/results.py`.
"""

from __future__ import annotations

import base64
import io
import pickle
import pickletools
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import orjson

UNSERIALIZABLE: Final = "Unserializable return value"
_PICKLE: Final = 0x80
_ZLIB: Final = 0x78
# Payloads arrive from whoever can write to Redis: a small blob must not unpack to gigabytes.
MOST_BYTES: Final = 64 * 1024 * 1024
MOST_VALUES: Final = 2_000_000


_PICKLE_FAULTS: Final = (
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)


class DecodeError(Exception):
    """The stored call cannot be read; the text says why."""


@dataclass(frozen=True, slots=True)
class Call:
    function: str
    args: list[Any]
    kwargs: dict[str, Any]
    serializer: str
    instance: Any = None


class _PlainUnpickler(pickle.Unpickler):
    """Loads builtin values only: a name of a class or function in the pickle is refused."""

    def find_class(self, module: str, name: str) -> Any:
        raise DecodeError(f"the pickle needs {module}.{name}, which is refused")


def encode_call(function: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bytes:
    """Raises TypeError when a value is not JSON-able."""
    return orjson.dumps([function, None, list(args), dict(kwargs)])


def decode_call(data: bytes, *, trusted: bool = False) -> Call:
    """`trusted`: a pickle may name any class or function, which runs code. Raises DecodeError."""
    raw = _unzip(data)
    serializer = "pickle" if raw[:1] == bytes([_PICKLE]) else "json"
    value = _unpickle(raw, trusted) if serializer == "pickle" else _from_json(raw)
    if not isinstance(value, (list, tuple)) or len(value) != 4:
        raise DecodeError("the stored call is not a list of four")
    function, instance, args, kwargs = value
    if not isinstance(function, str) or (instance is not None and not trusted):
        raise DecodeError("only calls of functions by their dotted name are run")
    if not isinstance(args, (list, tuple)) or not isinstance(kwargs, dict):
        raise DecodeError("the arguments of the stored call are damaged")
    return Call(function, list(args), kwargs, serializer, instance)


def _unzip(data: bytes) -> bytes:
    if data[:1] != bytes([_ZLIB]):
        return data
    try:
        unpacker = zlib.decompressobj()
        raw = unpacker.decompress(data, MOST_BYTES)
    except zlib.error as error:
        raise DecodeError(f"the stored call is damaged: {error}") from None
    if not unpacker.eof:
        raise DecodeError("the stored call is damaged or too large")
    return raw


def _from_json(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise DecodeError(f"the stored call is neither JSON nor pickle: {error}") from None


def _refuse_bombs(raw: bytes) -> None:
    """A few bytes can make the C unpickler reserve gigabytes: a memo number is an index into an array."""
    for opcode, argument, _ in pickletools.genops(raw):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument or 0) > len(raw):
            raise DecodeError("the pickle is damaged: it numbers more values than it has")


def _refuse_endless(value: Any) -> None:
    """A pickle may name one value many times: within itself without end, or doubled on every level."""
    rest, seen = [value], 0
    while rest:
        node = rest.pop()
        seen += 1
        if seen > MOST_VALUES:
            raise DecodeError("the pickle holds too many values")
        if isinstance(node, dict):
            rest += [*node.keys(), *node.values()]
        elif isinstance(node, (list, tuple, set, frozenset)):
            rest += node


def _unpickle(raw: bytes, trusted: bool = False) -> Any:
    try:
        if trusted:
            return pickle.loads(raw)
        _refuse_bombs(raw)
        value = _PlainUnpickler(io.BytesIO(raw)).load()
        _refuse_endless(value)
        return value
    except DecodeError:
        raise
    # A damaged pickle may raise nearly anything; these are the documented ones and what its opcodes reach.
    except _PICKLE_FAULTS as error:
        raise DecodeError(f"the pickle is damaged: {error}") from None


class EncodedResult(str):
    """A value that somebody else has encoded, with `encode_result`."""


def encode_result(value: Any, serializer: str) -> str:
    """The text of a result entry's `return_value`; '' for None. What cannot be serialized becomes RQ's own words."""
    if value is None:
        return ""
    if isinstance(value, EncodedResult):
        return value
    try:
        raw = pickle.dumps(value) if serializer == "pickle" else orjson.dumps(value)
    except (TypeError, pickle.PicklingError, AttributeError, RecursionError):
        return encode_result(UNSERIALIZABLE, serializer)
    return base64.b64encode(raw).decode()


def decode_result(text: bytes) -> Any:
    """Raises DecodeError."""
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise DecodeError(f"the stored result is damaged: {error}") from None
    return _unpickle(raw) if raw[:1] == bytes([_PICKLE]) else _from_json(raw)


def encode_error(text: str) -> str:
    """The text of a result entry's `exc_string`."""
    return base64.b64encode(zlib.compress(text.encode("utf-8", "replace"))).decode()


# Who asks for a job asks again: its times are the same then.
@lru_cache(maxsize=4096)
def parse_time(text: bytes | None) -> int | None:
    """RQ's datetime text (with or without fraction, `Z`, an offset or nothing = UTC) -> unix microseconds."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text.decode())
    except (ValueError, UnicodeDecodeError):
        return None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds

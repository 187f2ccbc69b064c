"""What went wrong, in words that fit a record. Used on both sides of a child's channel, so it imports nothing heavy."""

from __future__ import annotations

from traceback import TracebackException
from typing import Any, Final, NamedTuple

import orjson

from worker.context import PermanentError, RetryableError

MOST_ERROR_CHARACTERS: Final = 1000
MOST_DETAIL_BYTES: Final = 16 * 1024
MOST_RESULT_BYTES: Final = 1024 * 1024


class Fault(NamedTuple):
    """The fields of `jobqueue.job.Failed`."""

    error: str
    detail: str = ""
    permanent: bool = False


def one_line(text: str, most: int = MOST_ERROR_CHARACTERS) -> str:
    """Printable, on one line, encodable; others read it in terminals, logs and pages."""
    # Far more than can be kept is not worth looking at character by character.
    text = text[: 4 * most]
    if not text.isprintable():
        text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= most else text[: most - 1] + "…"


def tail(text: str, most: int = MOST_DETAIL_BYTES) -> str:
    """The last `most` bytes, encodable: tracebacks and stderr say at their end what happened."""
    return text.encode("utf-8", "replace")[-most:].decode("utf-8", "ignore")


def fault(name: str, text: str, *, detail: str = "", permanent: bool = False) -> Fault:
    return Fault(one_line(f"{name}: {text}"), tail(detail), permanent)


def fault_of(error: BaseException) -> Fault:
    """What a job that raised `error` failed of."""
    # Not str(error): this text survives an exception whose own __str__ raises.
    story = TracebackException.from_exception(error)
    name, text = type(error).__name__, str(story)
    if isinstance(error, OSError) and error.strerror:
        # Without the file's name: users read this line, and the folders of this machine are not theirs.
        text = error.strerror
    permanent = isinstance(error, PermanentError)
    line = text if isinstance(error, (PermanentError, RetryableError)) else f"{name}: {text}" if text else name
    return Fault(one_line(line), tail("".join(story.format())), permanent)


def encoded_result(value: Any) -> bytes | Fault:
    """The result of a job type as JSON, if it is JSON-able and small enough for a record."""
    try:
        raw = orjson.dumps(value)
    except TypeError as error:
        return fault("ResultNotSerializable", str(error))
    if len(raw) > MOST_RESULT_BYTES:
        return fault("ResultTooLarge", f"{len(raw)} bytes of {MOST_RESULT_BYTES} allowed")
    return raw

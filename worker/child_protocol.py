"""What a worker and a child say to each other: JSON lists, one a line, over a socket pair.

    child                                        worker
    hello                              ->
                                       <-        assignment, Assignment | call, Call
    progress, fraction, step, done, total ->
                                       <-        cancel
    completed, result | failed, error, detail, permanent | outcome, ... ->
    exit, wait status                  ->        (from the guard: the job's process has ended)

The child may start to work only after its `hello`, so that the worker can freeze whatever works.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any, Final, TypedDict

import orjson

HELLO: Final = "hello"
ASSIGNMENT: Final = "assignment"
CALL: Final = "call"
PROGRESS: Final = "progress"
CANCEL: Final = "cancel"
COMPLETED: Final = "completed"
FAILED: Final = "failed"
OUTCOME: Final = "outcome"
EXIT: Final = "exit"

# A plain function's result of the largest allowed size, in base64; errors and results of job types are far shorter.
MOST_LINE_BYTES: Final = 24 * 1024 * 1024


class Assignment(TypedDict):
    """`path` is the worker's `sys.path`. What was JobFacts when it was sent arrives as its fields."""

    facts: Any
    function: str
    parameters_model: str
    parameters: Any
    path: list[str]
    log_level: int


def encode(*message: Any) -> bytes:
    """Raises TypeError when something is not JSON-able."""
    return orjson.dumps(message) + b"\n"


def encode_completed(result: bytes) -> bytes:
    """`result` is JSON already."""
    return b'["%b",%b]\n' % (COMPLETED.encode(), result)


def decode(line: bytes) -> list[Any]:
    """[''] for what is no message: the rest of one whose writer was killed half-way."""
    try:
        message = orjson.loads(line)
    except orjson.JSONDecodeError:
        return [""]
    return message if isinstance(message, list) and message else [""]


def read_lines(channel: socket.socket) -> Iterator[bytes]:
    """Until the other side has gone."""
    rest = b""
    while chunk := channel.recv(65536):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines

"""What a job's processes write to stderr becomes lines of the worker's log, each with the job's fields.

The child writes its log records as JSON lists, one a line; everything else there was printed by the job or a library.
Imports nothing heavy: it is used on both sides.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from types import NoneType
from typing import Any, Final

import orjson

MOST_LINE_BYTES: Final = 8192
_MARK: Final = "log"
_PLAIN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_OUTPUT: Final = "worker.jobs.output"


class ChildFormatter(logging.Formatter):
    """In the child."""

    def format(self, record: logging.LogRecord) -> str:
        exception = self.formatException(record.exc_info) if record.exc_info else None
        extra = {name: value for name, value in vars(record).items() if name not in _PLAIN}
        entry = [_MARK, record.levelno, record.name, record.getMessage(), exception, extra]
        try:
            return orjson.dumps(entry, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
        except TypeError:
            # Numbers out of range, surrogates.
            return orjson.dumps([*entry[:2], *(ascii(part) for part in entry[2:4]), None, {}]).decode()


def configure_child(level: int) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(ChildFormatter())
    logging.basicConfig(level=level, handlers=[handler])


class ChildLog:
    """In the worker. `fields`: the job's, whatever the child says."""

    def __init__(self, fields: Mapping[str, object]) -> None:
        self._fields = dict(fields)
        self._rest = b""

    def feed(self, chunk: bytes) -> None:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > MOST_LINE_BYTES:
            lines.append(self._rest)
            self._rest = b""
        for line in lines:
            self._take(line)

    def end(self) -> None:
        self._take(self._rest)
        self._rest = b""

    def _take(self, line: bytes) -> None:
        entry = _entry(line)
        if entry is not None:
            _, level, name, message, exception, extra = entry
            fields = {"exc_text": exception, **{key: value for key, value in extra.items() if key not in _PLAIN}}
            self._hand_on(level, name, message, fields)
        elif text := line.decode("utf-8", "replace").rstrip():
            self._hand_on(logging.INFO, _OUTPUT, text, {})

    def _hand_on(self, level: int, name: str, message: str, extra: Mapping[str, object]) -> None:
        logger = logging.getLogger("worker.jobs")
        if logger.isEnabledFor(level):
            level_name = logging.getLevelName(level)
            fields = {"levelno": level, "levelname": level_name, "name": name, "msg": message, **extra, **self._fields}
            logger.handle(logging.makeLogRecord(fields))


def _entry(line: bytes) -> list[Any] | None:
    """None for a line that no log record made."""
    if not line.startswith(b'["log",'):
        return None
    try:
        entry = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    kinds: tuple[tuple[type, ...], ...] = ((str,), (int,), (str,), (str,), (str, NoneType), (dict,))
    fits = len(entry) == len(kinds) and all(isinstance(part, kind) for part, kind in zip(entry, kinds, strict=True))
    return entry if fits else None

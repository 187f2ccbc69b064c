"""How log lines look: one JSON object a line for programs, text for a terminal; nobody's words can make up a line.

Lines about a job have the fields `job_id`, `user_id` and `attempt`, given by `extra=job_fields(job)`. Parameters and
results are in no line: an exception whose text may quote them is logged with `extra=UNQUOTED`, by class and place only.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal, Protocol

MOST_VALUE_CHARACTERS: Final = 200
MOST_MESSAGE_CHARACTERS: Final = 1000
MOST_EXCEPTION_CHARACTERS: Final = 8000

UNQUOTED: Final[Mapping[str, object]] = {"unquoted": True}

_PLAIN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", *UNQUOTED}


class _Job(Protocol):
    @property
    def job_id(self) -> str: ...
    @property
    def user_id(self) -> str: ...
    @property
    def attempt(self) -> int: ...


def job_fields(job: _Job) -> dict[str, object]:
    return {"job_id": job.job_id, "user_id": job.user_id, "attempt": job.attempt}


def configure(style: Literal["auto", "json", "text"], level: str, fields: Mapping[str, str]) -> None:
    """All logging of this process to stderr. `fields` are in every JSON line: who writes."""
    as_text = style == "text" or (style == "auto" and sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(TextFormatter() if as_text else JsonFormatter(fields))
    logging.basicConfig(level=level.upper(), handlers=[handler])
    logging.captureWarnings(True)


class JsonFormatter(logging.Formatter):
    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__()
        self._fields = dict(fields)

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": _time(record),
            "level": record.levelname,
            "logger": _cut(record.name),
            "message": _cut(record.getMessage(), MOST_MESSAGE_CHARACTERS),
            **self._fields,
        }
        for name, value in _extras(record):
            entry.setdefault(name, value)
        if exception := _exception(self, record):
            entry["exception"] = exception
        # Everything but ASCII is escaped: line ends that only some programs know, and what turns text around.
        return json.dumps(entry, ensure_ascii=True)


class TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        message = _cut(record.getMessage(), MOST_MESSAGE_CHARACTERS)
        line = f"{_time(record)} {record.levelname} {_cut(record.name)} {message}"
        for name, value in _extras(record):
            line += f" {name}={value}"
        exception = _exception(self, record)
        # No line of the log itself is indented.
        return "\n    ".join(map(_visible, [line, *exception.splitlines()]))


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _extras(record: logging.LogRecord) -> Iterator[tuple[str, object]]:
    for name, value in vars(record).items():
        if name not in _PLAIN and value is not None:
            yield _cut(name), value if isinstance(value, (bool, int, float)) else _cut(str(value))


def _exception(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    if record.exc_info and hasattr(record, "unquoted"):
        text = _places(record.exc_info[1])
    else:
        text = formatter.formatException(record.exc_info) if record.exc_info else record.exc_text or ""
    # Its end says what happened.
    return text if len(text) <= MOST_EXCEPTION_CHARACTERS else "…" + text[1 - MOST_EXCEPTION_CHARACTERS :]


def _places(error: BaseException | None) -> str:
    parts: list[str] = []
    while error is not None:
        parts.insert(0, "".join(traceback.format_tb(error.__traceback__)) + type(error).__qualname__)
        error = error.__cause__ or error.__context__
    return "\n".join(parts)


def _cut(text: str, most: int = MOST_VALUE_CHARACTERS) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _visible(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)

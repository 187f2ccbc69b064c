"""Log lines: JSON and text, fields, escapes, cuts; and the lines that a child's output becomes."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from jobqueue.config import load_settings
from jobqueue.errors import ConfigurationError
from jobqueue.logs import (
    MOST_EXCEPTION_CHARACTERS,
    MOST_MESSAGE_CHARACTERS,
    UNQUOTED,
    JsonFormatter,
    TextFormatter,
    configure,
)
from worker.child_log import MOST_LINE_BYTES, ChildFormatter, ChildLog

HOSTILE = "a\nb\r\nc\x1b[31mred\x00\x7f\u2028d\u2029e\x85f\u202eg\ud800"
FIELDS = {"job_id": "j1", "user_id": "ann", "attempt": 2}


def record_of(message: str = "words", *arguments: object, **more: Any) -> logging.LogRecord:
    return logging.makeLogRecord(
        {"name": "worker.slots", "levelname": "INFO", "levelno": 20, "msg": message, "args": arguments, **more}
    )


def error_info(text: str) -> Any:
    try:
        raise ValueError(text)
    except ValueError:
        return sys.exc_info()


def as_json(record: logging.LogRecord) -> dict[str, Any]:
    line = JsonFormatter({"worker": "w1"}).format(record)
    assert line.isascii() and line.isprintable()
    found: dict[str, Any] = json.loads(line)
    return found


def test_a_json_line_has_time_level_logger_message_and_the_fields() -> None:
    line = as_json(record_of("took %d jobs", 3, **FIELDS, created=0.25, nothing=None, quick=True))
    assert line == {
        "time": "1970-01-01T00:00:00.250Z",
        "level": "INFO",
        "logger": "worker.slots",
        "message": "took 3 jobs",
        "worker": "w1",
        **FIELDS,
        "quick": True,
    }


def test_the_time_is_utc() -> None:
    stamp = datetime.fromisoformat(as_json(record_of())["time"])
    assert stamp.utcoffset() == UTC.utcoffset(None)
    assert abs((datetime.now(UTC) - stamp).total_seconds()) < 60


@pytest.mark.parametrize("place", ["message", "argument", "field", "field name", "logger", "exception"])
def test_sec_A21_no_text_makes_a_line_or_a_control_character(place: str) -> None:
    made: dict[str, Callable[[], logging.LogRecord]] = {
        "message": lambda: record_of(HOSTILE),
        "argument": lambda: record_of("%s %r", HOSTILE, HOSTILE),
        "field": lambda: record_of(step=HOSTILE),
        "field name": lambda: record_of(**{HOSTILE: 1}),
        "logger": lambda: record_of(name=HOSTILE),
        "exception": lambda: record_of(exc_info=error_info(HOSTILE)),
    }
    as_json(made[place]())
    first, *rest = TextFormatter().format(made[place]()).split("\n")
    assert first.isprintable()
    assert all(line.startswith("    ") and line.isprintable() for line in rest)
    assert bool(rest) is (place == "exception")


def test_sec_A21_values_are_cut() -> None:
    line = as_json(record_of("m" * 5000, error="x" * 5000, exc_info=error_info("y" * 50_000)))
    assert line["error"] == "x" * 199 + "…"
    assert len(line["message"]) == MOST_MESSAGE_CHARACTERS
    assert len(line["exception"]) == MOST_EXCEPTION_CHARACTERS
    assert len(TextFormatter().format(record_of("m" * 5000, error="x" * 5000))) < 1400


def test_an_exception_is_one_escaped_string() -> None:
    text = as_json(record_of(exc_info=error_info("the reason")))["exception"]
    assert text.startswith("Traceback (most recent call last):\n") and text.endswith("\nValueError: the reason")


def test_sec_A21_an_unquoted_exception_tells_class_and_place_only() -> None:
    def fail() -> None:
        try:
            raise KeyError("inner secret")
        except KeyError:
            raise ValueError("outer secret") from None

    try:
        fail()
    except ValueError:
        record = record_of(exc_info=sys.exc_info(), **UNQUOTED)
    text = as_json(record)["exception"]
    assert "in fail" in text and "KeyError" in text and text.endswith("ValueError")
    assert '"inner secret"' not in text.replace('raise KeyError("inner secret")', "")
    assert "unquoted" not in as_json(record)


def test_fields_cannot_replace_what_the_line_says_itself() -> None:
    line = as_json(record_of(time="never", level="FORGED", logger="forged", worker="w2"))
    assert (line["level"], line["logger"], line["worker"]) == ("INFO", "worker.slots", "w1")
    assert line["time"] != "never"


@pytest.mark.parametrize(
    ("style", "terminal", "is_json"),
    [("auto", True, False), ("auto", False, True), ("json", True, True), ("text", False, False)],
)
def test_auto_is_text_on_a_terminal_only(
    monkeypatch: pytest.MonkeyPatch, style: Any, terminal: bool, is_json: bool
) -> None:
    root = logging.getLogger()
    output = io.StringIO()
    monkeypatch.setattr(output, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stderr", output)
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    try:
        configure(style, "warning", {"server": "s1"})
        logging.getLogger("x").info("not this")
        logging.getLogger("x").warning("words", extra={"job_id": "j"})
    finally:
        logging.captureWarnings(False)
        logging.getLogger("x").manager._clear_cache()  # type: ignore[attr-defined]
    (line,) = output.getvalue().splitlines()
    assert line.startswith("{") is is_json
    assert ('"server": "s1"' in line) is is_json
    assert "not this" not in line and ("job_id=j" in line or '"job_id": "j"' in line)


def test_the_settings_of_the_log() -> None:
    assert load_settings(None, {"JOBQUEUE_LOG_FORMAT": "json"}).log.format == "json"
    with pytest.raises(ConfigurationError, match=r"JOBQUEUE_LOG_LEVEL: log.level"):
        load_settings(None, {"JOBQUEUE_LOG_LEVEL": "loud"})


def child_lines(caplog: pytest.LogCaptureFixture, *chunks: bytes) -> list[logging.LogRecord]:
    caplog.set_level(logging.INFO)
    log = ChildLog(FIELDS)
    for chunk in chunks:
        log.feed(chunk)
    log.end()
    for record in caplog.records:
        assert {name: vars(record)[name] for name in FIELDS} == FIELDS
    return caplog.records


def test_a_childs_record_arrives_as_it_was(caplog: pytest.LogCaptureFixture) -> None:
    sent = record_of("took %d", 3, levelno=30, name="worker.jobs.shout", page=7, exc_info=error_info("why"))
    line = ChildFormatter().format(sent).encode() + b"\n"
    (record,) = child_lines(caplog, line[:20], line[20:])
    assert (record.name, record.levelname, record.getMessage()) == ("worker.jobs.shout", "WARNING", "took 3")
    assert vars(record)["page"] == 7
    assert as_json(record)["exception"].endswith("ValueError: why")


def test_what_cannot_be_json_is_a_line_too(caplog: pytest.LogCaptureFixture) -> None:
    sent = record_of("lone \ud800", number=2**80, thing=object(), levelno=20)
    (record,) = child_lines(caplog, ChildFormatter().format(sent).encode())
    assert "lone" in record.getMessage()


def test_sec_A21_a_child_cannot_speak_for_another_job(caplog: pytest.LogCaptureFixture) -> None:
    forged = orjson.dumps(["log", 50, "server", "m", None, {"job_id": "other", "user_id": "bob", "levelname": "x"}])
    (record,) = child_lines(caplog, forged + b"\n")
    assert record.levelname == "CRITICAL"


@pytest.mark.parametrize(
    "line", [b'["log",', b'["log", 1]', b'["log",1,2,3,4,5]', b'{"time": "x"}', b'["log",20,"n","m",5,{}]', b"\xff\xfe"]
)
def test_everything_else_is_output_of_the_job(caplog: pytest.LogCaptureFixture, line: bytes) -> None:
    (record,) = child_lines(caplog, line + b"\n\n")
    assert (record.name, record.getMessage()) == ("worker.jobs.output", line.decode("utf-8", "replace"))


def test_output_without_line_ends_is_not_kept(caplog: pytest.LogCaptureFixture) -> None:
    records = child_lines(caplog, *[b"x" * 4096] * 10)
    assert sum(len(record.getMessage()) for record in records) == 40_960
    assert max(len(record.getMessage()) for record in records) <= MOST_LINE_BYTES + 4096

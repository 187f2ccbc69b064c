from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.errors import InvalidJsonError, PayloadTooLargeError
from server.json_text import dumps, dumps_line, loads_object


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": 1e999}',
        b'{"a": 1, "a": 2}',
        b'{"a": {"b": 1, "b": 2}}',
        b'{"a": "\\ud800"}',
        b'{"a": "\xff"}',
        b"\xef\xbb\xbf{}",
        b'{"a": 18446744073709551616}',
        b'{"a": -9223372036854775809}',
        b'{"a": ' + b"9" * 10_000 + b"}",
        b'{"a":' * 32 + b"{}" + b"}" * 32,
        b"[" * 500_000,
        b'{"a": 1,}',
    ],
)
def test_sec_A13_ambiguous_json_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidJsonError) as caught:
        loads_object(text)
    assert caught.value.body["error"] == "InvalidJsonError"
    assert len(caught.value.message) < 200


def test_32_levels_are_read() -> None:
    text = b'{"a":' * 31 + b"{}" + b"}" * 31
    assert loads_object(text) == json.loads(text)


@given(st.dictionaries(st.text(), st.integers(-(2**63) + 1, 2**64 - 1) | st.text() | st.booleans() | st.none()))
def test_ordinary_objects_read_back(value: dict[str, object]) -> None:
    assert loads_object(dumps(value)) == value


@given(st.text())
def test_api_E12_a_line_stays_one_line(text: str) -> None:
    line = dumps_line({"step": text}).decode()
    assert len(line.splitlines()) == 1
    assert json.loads(line) == {"step": text}


def test_foreign_results_are_written_somehow() -> None:
    assert json.loads(dumps({"set": {1}, 2: b"x", "nan": float("nan")})) == {"set": [1], "2": "x", "nan": None}
    big = {1: {2}, "b": b"\xff", "big": 2**70, "nan": float("nan"), "half": "\ud800", "n": (1.5, None, True)}
    assert json.loads(dumps(big)) == {
        "1": [2], "b": "\ufffd", "big": 2**70, "nan": None, "half": "\ud800", "n": [1.5, None, True],
    }  # fmt: skip


def test_foreign_results_beyond_every_limit_are_written_as_far_as_they_go() -> None:
    deep: list[object] = []
    for _ in range(900):
        deep = [deep]
    text = dumps({"deep": deep, "big": 10**5000}).decode()
    assert "nested too deeply to be shown" in text
    assert json.loads(text)["big"] == f"an integer of {(10**5000).bit_length()} bits"


def test_a_body_of_nothing_but_objects_is_too_large() -> None:
    with pytest.raises(PayloadTooLargeError):
        loads_object(b'{"jobs":[' + b"{}," * 1_000_000 + b"{}]}")


def test_brackets_within_texts_do_not_count() -> None:
    text = json.dumps({"jobs": ['[{"a": "\\\\"}]' * 200_000] * 3}).encode()
    assert text.count(b"[") + text.count(b"{") > 1_000_000
    assert len(loads_object(text)["jobs"]) == 3

"""Words for records: one line, printable, cut; notes that lose nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.context import PermanentError, RetryableError
from worker.note import Note
from worker.process_job import _ending
from worker.wording import fault, fault_of, one_line, tail


@given(st.text(alphabet=st.characters(), max_size=2000))
def test_a_line_is_printable_encodable_and_short(text: str) -> None:
    line = one_line(text)
    assert line.isprintable()
    assert len(line.encode()) >= len(line)
    assert len(line) <= 1000


def test_a_good_line_stays_as_it_is() -> None:
    assert one_line("used  2105 MB – ja") == "used  2105 MB – ja"
    assert one_line("a\r\n\tb\x00c\u2028d\ud800e") == "a b c d e"
    assert one_line("x" * 1001) == "x" * 999 + "…"


@given(st.text(alphabet=st.characters()), st.integers(1, 50))
def test_a_tail_is_the_end(text: str, most: int) -> None:
    assert len(tail(text, most).encode()) <= most


def test_the_cause_is_in_the_detail() -> None:
    try:
        try:
            raise KeyError("inner")
        except KeyError as inner:
            raise ValueError("outer") from inner
    except ValueError as outer:
        told = fault_of(outer)
    assert told.error == "ValueError: outer"
    assert "KeyError: 'inner'" in told.detail


def test_a_fault_has_a_name() -> None:
    assert fault("JobTimeout", "late\n") == ("JobTimeout: late", "", False)


@pytest.mark.parametrize(("kind", "is_permanent"), [(PermanentError, True), (RetryableError, False)])
def test_an_error_with_a_code_is_told_by_it(kind: type[Exception], is_permanent: bool) -> None:
    assert fault_of(kind("some_code", "A sentence.")).error == "some_code: A sentence."
    assert fault_of(kind("some_code", "A sentence.")).permanent is is_permanent


@pytest.mark.parametrize(
    ("note", "expected"),
    [
        ((0.5, None, None, None), Note(0.5, "old", 1, 2)),
        ((None, "new", None, None), Note(0.25, "new", 1, 2)),
        ((None, None, 3, 4), Note(0.75, "old", 3, 4)),
        ((None, None, 3, None), Note(0.25, "old", 3, 2)),
        ((None, None, 3, 0), Note(0.25, "old", 3, 0)),
        ((7, None, None, None), Note(1.0, "old", 1, 2)),
        ((-1.0, "a\nb", None, None), Note(0.0, "a b", 1, 2)),
        ((float("nan"), None, None, None), Note(0.0, "old", 1, 2)),
    ],
)
def test_a_note_adds_to_the_one_before(
    note: tuple[float | None, str | None, int | None, int | None], expected: Note
) -> None:
    assert Note(0.25, "old", 1, 2).followed_by(*note) == expected


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (9, "killed by SIGKILL"),
        (11 | 0x80, "killed by SIGSEGV"),
        (40, "killed by signal 40"),
        (3 << 8, "exited with code 3 before it answered"),
        (None, "its processes were killed from outside"),
    ],
)
def test_how_a_process_ended(status: int | None, words: str) -> None:
    assert _ending(status) == words

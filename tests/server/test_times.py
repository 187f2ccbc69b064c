from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.times import parse, to_text

MOMENT = 1_762_961_400_000_000


@pytest.mark.parametrize(
    "text",
    [
        "2025-11-12T15:30:00Z",
        "2025-11-12t15:30:00z",
        "2025-11-12T15:30:00",
        "2025-11-12 15:30",
        "2025-11-12T17:30:00+02:00",
        "2025-11-12T10:00:00-0530",
        "2025-11-12T15:30:00.000000Z",
        "2025-11-12T15:30:00,000000009Z",
    ],
)
def test_api_I2_offsets_z_and_naive_mean_the_same(text: str) -> None:
    assert parse(text) == MOMENT


@pytest.mark.parametrize(
    "text",
    ["", "now", "2025-11-12", "12:00", "2025-13-01T00:00Z", "2025-11-12T25:00Z", "2025-11-12T15:30:00 Z", "1762961400",
     "2025-W46-3T15:30", "2025-11-12T15:30:00+99:00", "٢٠٢٥-11-12T15:30:00Z", "9999-12-31T00:00:00Z"],
)  # fmt: skip
def test_api_I2_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse(text)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "1969-12-31T23:59:59Z"])
def test_times_before_1970_are_now(text: str) -> None:
    assert parse(text) == 0


@given(st.integers(0, 7_000_000_000))
def test_api_I1_written_times_read_back(seconds: int) -> None:
    text = to_text(seconds * 1_000_000 + 999_999)
    assert text is not None and text.endswith("Z") and len(text) == 20
    assert parse(text) == seconds * 1_000_000


def test_no_time_is_null() -> None:
    assert to_text(None) is None

"""document_processing: sentences, and what the strategy semantic learns from them."""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
import pytest

from worker.jobs.document_processing import topics
from worker.jobs.document_processing.measure import sentences
from worker.jobs.document_processing.statements import statements
from worker.jobs.document_processing.topics import Topics


def test_very_many_sentences_are_learned_from_an_even_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "MOST_SENTENCES", 30)
    monkeypatch.setattr(topics, "_RUN", 5)
    texts = [" ".join(f"This is word{n}." for n in range(low, low + 20)) for low in range(0, 100, 20)]
    runs: list[int] = []
    numbers = [int(text[12:-1]) for text in topics._sample(iter(texts), 100, runs)]
    assert len(numbers) == 30 and {number // 20 for number in numbers} == {0, 1, 2, 3, 4}
    follows = [after == before + 1 and after % 20 > 0 for before, after in pairwise(numbers)]
    assert [before == after for before, after in pairwise(runs)] == follows and follows.count(True) >= 20


def test_windows_of_sentences_end_with_their_text() -> None:
    windows = topics._windows(np.array([1, 1, 1, 1, 2])).toarray().tolist()
    assert windows == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 0], [0, 1, 1, 1, 0], [0, 0, 0, 0, 1]]


def test_statements_begin_with_the_indented_first_line_of_a_paragraph_too() -> None:
    text = "Prices of Smith Co\n   The harvest\nwas good. It ended.\n  Rain\n\n    a = 1\n    b = 2\n c"
    found = [text[start:end] for start, end in statements(text)]
    assert found == ["Prices of Smith Co", "The harvest\nwas good.", "It ended.", "Rain", "a = 1\n    b = 2\n c"]


def work_of(text: str) -> float:
    """Of this thread alone, and the least of several: others do not count."""
    spent = []
    for _ in range(5):
        begin = time.thread_time()
        statements(text)
        spent.append(time.thread_time() - begin)
    return min(spent)


@pytest.mark.parametrize("unit", ["a", "a ", " ", "a\n ", "\n  ", "\x0b", "\t\n"])
def test_statements_of_a_text_eight_times_as_long_are_about_eight_times_the_work(unit: str) -> None:
    """With the square of the length it would be 64 times."""
    short, long = (unit * (length // len(unit)) + "a" for length in (10_000, 80_000))
    assert work_of(long) < 24 * work_of(short)


def test_very_long_text_is_joined_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "_BLOCK", 10)
    text = " ".join(f"The water of pump {n} was there." for n in range(35))
    found = Topics.fit(lambda: iter([text]), 42).borders(text, 3.0)
    spans = sentences(text)
    assert set(found) >= {spans[n][0] for n in (10, 20, 30)} and found == sorted(set(found))


def test_sentences_cover_the_text() -> None:
    text = "# Title\n\n Dr. Smith came.  He left 👩‍👩‍👧‍👦! \n\n水道の水。毎日検査。 " + "x" * 30_000 + " end"
    spans = sentences(text)
    covered = {place for start, end in spans for place in range(start, end)}
    assert all(place in covered or character.isspace() for place, character in enumerate(text))
    assert all(first[1] <= second[0] for first, second in pairwise(spans))
    assert "Dr. Smith came." in {text[start:end] for start, end in spans}


def test_few_sentences_whose_windows_are_all_alike_teach_nothing_and_break_nothing() -> None:
    text = "water One. 0One. \n# Head\n"
    assert Topics.fit(lambda: iter([text]), 42).borders(text, 1.9) == []

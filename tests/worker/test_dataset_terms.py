"""dataset_generation: words of very many texts are counted within bounds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from worker.jobs.dataset_generation import terms
from worker.jobs.dataset_generation.terms import Weights


def weighed(folder: Path, texts: list[list[str]]) -> dict[str, float]:
    weights = Weights()
    for text in texts:
        weights.add(text)
    weights.settle()
    weights.save(folder / "weights.json")
    _, values = json.loads((folder / "weights.json").read_text())
    return dict(values)


@pytest.mark.parametrize("often", [1, 2, 3])
def test_the_words_of_very_many_texts_are_counted_within_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, often: int
) -> None:
    monkeypatch.setattr(terms, "_MOST_WORDS", 10)
    texts = [["common", f"word{n}", f"term{n}"] for n in range(40) for _ in range(often)]
    found = weighed(tmp_path, texts)
    assert len(found) <= 10 and "common" in found
    # Sets of words have another order in another process.
    assert weighed(tmp_path, [text[::-1] for text in texts]) == found


def test_there_is_room_for_words_that_come_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking for what can be forgotten takes long, so it must not be done for every text."""
    monkeypatch.setattr(terms, "_MOST_WORDS", 10)
    early = [["common", *(f"early{n}" for n in range(9))]] * 2
    late = [["common", f"late{n}"] for n in range(3)] * 2
    found = weighed(tmp_path, [*early, *late])
    assert {"common", "late1", "late2"} <= found.keys()


def test_words_within_the_bounds_are_all_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [["common", f"word{n}"] for n in range(9)]
    usual = weighed(tmp_path, texts)
    monkeypatch.setattr(terms, "_MOST_WORDS", 10)
    assert weighed(tmp_path, texts) == usual and len(usual) == 10

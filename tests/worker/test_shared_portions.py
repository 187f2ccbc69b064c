"""Long texts: what is in memory at a time goes by their length, and what comes out of it does not."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from worker.jobs.dataset_generation.item_files import read_items, write_items
from worker.jobs.dataset_generation.model import Item
from worker.jobs.shared import portions as portions_module
from worker.jobs.shared import word_counts
from worker.jobs.shared.portions import portions
from worker.jobs.shared.word_counts import Counts
from worker.jobs.taxonomy_processing.words import ENGLISH, UNKNOWN, language_of

MEGABYTE = 1024 * 1024


def most_memory(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_portions_by_number_and_by_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portions_module, "MOST_CHARACTERS", 10)
    texts = ["a", "b", "c", "d", "e" * 8, "f", "g" * 30, "h"]
    assert list(portions(texts, 3, len)) == [["a", "b", "c"], ["d", "e" * 8, "f"], ["g" * 30], ["h"]]
    assert list(portions([], 3, len)) == []


def test_items_of_long_texts_are_in_more_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = [Item(number, f"c{number}", "d", "x" * 40) for number in range(10)]
    assert len(list(write_items(items, tmp_path, 5))) == 2
    monkeypatch.setattr(portions_module, "MOST_CHARACTERS", 100)
    files = list(write_items(items, tmp_path, 5))
    assert len(files) == 4 and [item for file in files for item in read_items(file)] == items


def test_a_language_is_found_out_without_holding_the_words() -> None:
    text = "the tide and the harbour of that town " * 400
    assert most_memory(lambda: language_of([text] * 200)) < 3 * MEGABYTE
    assert language_of([text]) == ENGLISH and language_of(["Haus und Hof"]) == language_of([]) == UNKNOWN


def counted(folder: Path, texts: list[list[bytes]], chosen: list[int]) -> list[tuple[int, int, int]]:
    counts = Counts(folder / "counts")
    for text in texts:
        counts.add(text)
    found, first = [], 0
    for row, word, count, rows in counts.batches(chosen):
        found += [(first + r, w, c) for r, w, c in zip(row.tolist(), word.tolist(), count.tolist(), strict=True)]
        first += rows
    assert first == len(chosen) and len(counts) == len(texts)
    return found


def test_counts_do_not_depend_on_how_many_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = np.random.default_rng(1)
    texts = [[b"w%d" % n for n in chance.integers(0, 30, size)] for size in chance.integers(0, 40, 60).tolist()]
    chosen = list(range(0, 60, 7))
    usual = counted(tmp_path, texts, chosen)
    monkeypatch.setattr(word_counts, "_MOST_WORDS", 100)
    assert counted(tmp_path, texts, chosen) == usual != []


def test_words_of_long_texts_do_not_wait_in_memory(tmp_path: Path) -> None:
    text = [b"w%d" % number for number in range(1000)] * 20
    counts = Counts(tmp_path / "counts")

    def fill() -> None:
        for _ in range(150):
            counts.add(text)
        for _ in counts.batches([0]):
            pass

    assert most_memory(fill) < 60 * MEGABYTE

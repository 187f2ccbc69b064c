"""The numbers under the categories: words counted in two passes, and chunks drawn towards their neighbours."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

from worker.jobs.shared.word_counts import Counts
from worker.jobs.shared.words import words_of
from worker.jobs.taxonomy_processing import smooth
from worker.jobs.taxonomy_processing.counting import Terms
from worker.jobs.taxonomy_processing.smooth import Smoothed


def texts(count: int, subjects: int = 3, seed: int = 1) -> list[str]:
    """The n-th is of subject n % subjects; half of its words are, the others are of all."""
    chance = random.Random(seed)
    own = [[f"{chr(97 + subject)}word{n}" for n in range(40)] for subject in range(subjects)]
    common = [f"Common{n}" for n in range(30)] + ["12", "1999", "x1"]
    return [
        " ".join(chance.choice(own[n % subjects] if chance.random() < 0.5 else common) for _ in range(30))
        for n in range(count)
    ]


def counted(folder: Path, given: list[str], stop: list[str], chosen: Sequence[int] | None = None) -> Terms:
    counts = Counts(folder / f"counts.{len(list(folder.iterdir()))}")
    for text in given:
        counts.add(words_of(text.lower()))
    return Terms(counts, range(len(given)) if chosen is None else chosen, stop)


@pytest.mark.parametrize("count", [40, 1100])
def test_words_weigh_as_in_the_usual_way(tmp_path: Path, count: int) -> None:
    given = [*texts(count - 1), ""]
    terms = counted(tmp_path, given, ["common3"])
    noted: list[int] = []
    found = terms.matrix(noted.append)
    usual = TfidfVectorizer(
        token_pattern=r"(?u)\b(?=\w*[^\W\d_])\w\w+\b",
        stop_words=["common3"],
        min_df=5 if count >= 1000 else 2,
        max_df=0.5,
        sublinear_tf=True,
    )
    wanted = usual.fit_transform(given)
    assert terms.names == usual.get_feature_names_out().tolist()
    assert "common3" not in terms.names and "1999" not in terms.names and "x1" in terms.names
    np.testing.assert_allclose(found.toarray(), wanted.toarray(), rtol=1e-5)
    assert (found.dtype, found.indices.dtype) == (np.float32, np.int32)
    assert noted == sorted(noted) and noted[-1] == count


def test_words_of_some_texts_are_those_of_these_alone(tmp_path: Path) -> None:
    given = texts(1300)
    chosen = [*range(3, 700, 2), 1299]
    some = counted(tmp_path, given, [], chosen)
    alone = counted(tmp_path, [given[number] for number in chosen], [])
    assert some.names == alone.names
    np.testing.assert_array_equal(some.weights, alone.weights)
    np.testing.assert_array_equal(some.matrix(print).toarray(), alone.matrix(print).toarray())


def space(folder: Path, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Words, and axes on which the subjects hardly differ."""
    words = counted(folder, texts(count), []).matrix(lambda done: None)
    noise = np.random.default_rng(1).normal(size=(count, 3)).astype(np.float32)
    return words, normalize(np.eye(3, dtype=np.float32)[np.arange(count) % 3] + noise)


def apart(vectors: np.ndarray, subjects: np.ndarray) -> float:
    """How much more alike chunks of one subject are than those of two."""
    alike, same = vectors @ vectors.T, subjects[:, None] == subjects[None, :]
    return float(alike[same].mean() - alike[~same].mean())


@pytest.mark.parametrize("count", [30, 300])
def test_chunks_of_one_matter_come_together(tmp_path: Path, count: int) -> None:
    words, meaning = space(tmp_path, count)
    noted: list[int] = []
    smoothed = Smoothed(words, meaning, noted.append)
    side_by_side = Smoothed(words, meaning, noted.append, threads=2)
    np.testing.assert_array_equal(side_by_side.vectors, smoothed.vectors)
    subjects = np.arange(count) % 3
    assert apart(smoothed.vectors, subjects) > apart(meaning, subjects) + 0.1
    np.testing.assert_allclose(np.linalg.norm(smoothed.vectors, axis=1), 1, rtol=1e-4)
    assert noted[-1] == count
    members = np.array([2, 5, 7])
    known, vectors = smoothed.of(members)
    assert known.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(vectors, smoothed.vectors[members])


def test_of_many_chunks_an_even_sample_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smooth, "MOST", 50)
    words, meaning = space(tmp_path, 200)
    smoothed = Smoothed(words, meaning, lambda done: None)
    assert smoothed.rows.tolist() == list(range(0, 200, 4)) and smoothed.vectors.shape == (50, 3)
    known, vectors = smoothed.of(np.array([1, 4, 8, 9, 199]))
    assert known.tolist() == [1, 2]
    np.testing.assert_array_equal(vectors, smoothed.vectors[[1, 2]])


def test_a_chunk_without_neighbours_stays_where_it_is(tmp_path: Path) -> None:
    words, meaning = space(tmp_path, 60)
    words = words.tolil()
    words[7] = 0
    smoothed = Smoothed(words.tocsr(), meaning, lambda done: None)
    np.testing.assert_allclose(smoothed.vectors[7], meaning[7], rtol=1e-5)

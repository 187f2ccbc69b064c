"""extraction: which categories count for a text, and which part of it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from samples.extraction_support import TAXONOMY, Job, corpus, one, sentence

from worker.jobs.extraction.categories import categories_of
from worker.jobs.extraction.decide import Decision
from worker.jobs.extraction.feedback import Feedback
from worker.jobs.extraction.neighbours import Neighbours
from worker.jobs.extraction.relations import normalised
from worker.jobs.extraction.sentences import in_context, runs, smoothed
from worker.jobs.extraction.space import profile_of
from worker.jobs.shared.sentences import sentences_of
from worker.jobs.shared.taxonomy import root_of

TREE = {
    "name": "t",
    "children": [
        {"name": "A", "children": [{"name": "A1"}, {"name": "A2", "confidence_threshold": 0.9}]},
        {"name": "B"},
    ],
}
#                 A     A1    A2    B
BOTH_LEVELS = [[0.50, 0.40, 0.20, 0.20]]
CHILD_ONLY = [[0.20, 0.40, 0.20, 0.50]]


def decision(*, contextual: bool = True, threshold: float = 0.5, selected: list[str] | None = None) -> Decision:
    return Decision(categories_of(root_of(TREE), selected, 3), threshold, is_contextual=contextual)


def wanted(made: Decision, similarities: list[list[float]]) -> list[str]:
    flags = made.wanted(made.passing(made.confidences(np.array(similarities, dtype=np.float32))))
    return [name for name, flag in zip(("A", "A1", "A2", "B"), flags[0], strict=True) if flag]


def test_confidence_is_a_softmax_of_siblings() -> None:
    found = decision().confidences(np.array([[0.30, 0.24, 0.21, 0.27]], dtype=np.float32))[0]
    assert found[0] == pytest.approx(1 / (1 + np.exp(-1)), abs=1e-5)
    assert found[0] + found[3] == pytest.approx(1, abs=1e-5)
    assert found[1] + found[2] == pytest.approx(1, abs=1e-5)


def test_below_the_least_similarity_there_is_no_category() -> None:
    found = decision().confidences(np.array([[0.0999, 0.05, 0.0, 0.09]], dtype=np.float32))
    assert not found.any()
    assert wanted(decision(threshold=0), [[0.09] * 4]) == []


def test_a_category_alone_stands_against_the_least_similarity() -> None:
    alone = Decision(
        categories_of(root_of({"name": "t", "children": [{"name": "A"}]}), None, 3), 0.5, is_contextual=True
    )
    found = alone.confidences(np.array([[0.10], [0.13], [0.30]], dtype=np.float32))[:, 0]
    assert found == pytest.approx([0.5, 1 / (1 + np.exp(-1)), 0.9987], abs=1e-3)


def test_the_most_specific_category_of_a_branch() -> None:
    assert wanted(decision(), BOTH_LEVELS) == ["A1"]
    assert wanted(decision(selected=["B"]), BOTH_LEVELS) == []


def test_contextual_and_document_wide() -> None:
    assert wanted(decision(), CHILD_ONLY) == ["B"]
    assert wanted(decision(contextual=False), CHILD_ONLY) == ["A1", "B"]


def test_a_higher_threshold_of_a_category_wins() -> None:
    similar = [[0.5, 0.40, 0.45, 0.2]]
    assert wanted(decision(), similar) == ["A"]
    assert wanted(decision(), [[0.5, 0.30, 0.45, 0.2]]) == ["A2"]
    assert wanted(decision(threshold=0.999), similar) == ["A"]


def test_an_unselected_parent_still_counts() -> None:
    assert wanted(decision(selected=["A/A1"]), BOTH_LEVELS) == ["A1"]
    assert wanted(decision(selected=["A/A1"]), CHILD_ONLY) == []


def test_margins() -> None:
    made = decision()
    found = made.margins(np.array([[0.7, 0.5, 0.5, 0.3]], dtype=np.float32))[0]
    assert found == pytest.approx([0.4, 0.0, 0.0, -0.4], abs=1e-6)


def test_profile() -> None:
    node = {
        "name": "Night sky",
        "description": "the sky by night",
        "keywords": [{"term": "moon", "weight": 4.0}, {"term": "full moon", "weight": 2.0}],
    }
    (category,) = categories_of(root_of({"name": "t", "children": [node]}), None, 1)
    profile = profile_of(category, lambda text: text.lower().split())
    assert profile == {"night": 3, "sky": 3, "the": 1, "by": 1, "moon": 1.5, "full": 0.5}


def test_feedback_is_the_mean_of_the_best_chunks_of_a_category() -> None:
    profiles = np.eye(4, dtype=np.float32)[:2]
    feedback = Feedback(profiles, [np.array([0, 1])], chunks=60)
    similarities = np.array(
        [[0.8, 0.1], [0.6, 0.1], [0.5, 0.1], [0.45, 0.1], [0.05, 0.04], [0.2, 0.3]], dtype=np.float32
    )
    vectors = np.eye(4, dtype=np.float32)[[0, 2, 3, 1, 1, 3]]
    for row in range(6):
        feedback.add(similarities[row : row + 1], vectors[row : row + 1])
    first, second = feedback.centroids()
    # The best three, which are a twentieth of 60; the chunk without a category has no say.
    assert first == pytest.approx(np.array([1, 0, 1, 1]) / np.sqrt(3))
    assert second == pytest.approx([0, 0, 0, 1])


def test_feedback_leaves_out_what_is_not_half_as_alike_as_the_best() -> None:
    feedback = Feedback(np.eye(3, dtype=np.float32)[:1], [np.array([0])], chunks=2000)
    feedback.add(np.array([[0.8], [0.4], [0.39]], dtype=np.float32), np.eye(3, dtype=np.float32))
    assert feedback.centroids()[0] == pytest.approx(np.array([1, 1, 0]) / np.sqrt(2))
    nothing = Feedback(np.eye(3, dtype=np.float32)[1:2], [np.array([0])], chunks=2000)
    assert nothing.centroids()[0] == pytest.approx([0, 1, 0])


def test_sentences() -> None:
    text = "  Dr. Smith went home.  He slept!\n\n他睡了。然後起床。 End"
    assert [text[start:end] for start, end in sentences_of(text)] == [
        "Dr. Smith went home.",
        "He slept!",
        "他睡了。",
        "然後起床。",
        "End",
    ]
    assert sentences_of(" \n ") == []


def test_smoothing_takes_two_neighbours_on_each_side() -> None:
    scores = np.array([[0.0], [0.0], [1.0], [0.0], [0.0], [0.0]], dtype=np.float32)
    assert smoothed(scores)[:, 0] == pytest.approx([1 / 3, 1 / 4, 1 / 5, 1 / 5, 1 / 4, 0])


def test_sentences_stand_by_one_part_in_five_for_what_their_chunk_speaks_of() -> None:
    alone = np.array([[0.5, 0.1]], dtype=np.float32)
    assert in_context(alone, np.array([0.0, 0.6], dtype=np.float32))[0] == pytest.approx([0.4, 0.2])


def test_runs_stay_above_half_the_maximum() -> None:
    scores = np.array([0.1, 0.5, 0.8, 0.5, 0.3, 0.6, 0.1], dtype=np.float32)
    assert list(runs(scores, scores > 0.7)) == [(1, 4)]
    assert list(runs(scores, scores > 0.55)) == [(1, 4), (5, 6)]


@pytest.mark.parametrize("count", [90, 300])
def test_a_span_is_the_run_of_sentences_on_the_matter(tmp_path: Path, count: int) -> None:
    rng = random.Random(3)
    parts = [[sentence(topic, rng) for _ in range(12)] for topic in ("Cooking", "Sailing")]
    text = " ".join([*parts[0], *parts[1]])
    chunks = [*corpus(count - 1), *one(text, start=0, end=len(text))]
    job = Job(tmp_path, chunks, granularity="sentence")
    spans = {line["category_path"][0]: line for line in job.lines if line["document_id"] == "d"}
    border = len(" ".join(parts[0])) + 1
    assert set(spans) == {"Cooking", "Sailing"}
    # The neighbours blur it by at most as many sentences.
    assert spans["Cooking"]["start"] == 0
    assert abs(spans["Cooking"]["end"] - border) < 200
    assert abs(spans["Sailing"]["start"] - border) < 200
    assert spans["Sailing"]["end"] == len(text)
    assert all(line["text"] == text[line["start"] : line["end"]] for line in spans.values())
    whole = [line for line in Job(tmp_path, chunks, "whole").lines if line["document_id"] == "d"]
    assert {line["text"] for line in whole} <= {text}


def mixed() -> list[dict[str, Any]]:
    """Texts that speak of three matters, of one a little more."""
    text = "moon planet orbit telescope; flour butter recipe dough; mast keel rudder anchor;"
    more = ["moon", "flour", "mast", "moon mast", "flour onion tide", "telescope orbit"]
    return [{"chunk_id": f"m:{n}", "document_id": f"m{n}", "text": f"{text} {words}"} for n, words in enumerate(more)]


def test_at_most_so_many_labels(tmp_path: Path) -> None:
    chunks = mixed()
    counts = {}
    for most in (1, 2, 3):
        job = Job(tmp_path, chunks, str(most), confidence_threshold=0, max_labels_per_chunk=most)
        counts[most] = [sum(line["chunk_id"] == chunk["chunk_id"] for line in job.lines) for chunk in chunks]
        by_chunk = [line["confidence"] for line in job.lines if line["chunk_id"] == chunks[0]["chunk_id"]]
        assert by_chunk == sorted(by_chunk, reverse=True)
    assert [max(counts[most]) for most in (1, 2, 3)] == [1, 2, 3]


def test_depth_and_selection(tmp_path: Path) -> None:
    tree: dict[str, Any] = {"name": "t", "children": [dict(node) for node in TAXONOMY["children"]]}
    tree["children"][0]["children"] = [
        {"name": "Planets", "description": "planet orbit moon"},
        {"name": "Comets", "description": "comet asteroid"},
    ]
    paths = {}
    for depth in (1, 2):
        job = Job(tmp_path, corpus(60), str(depth), taxonomy={"taxonomy": tree}, extraction_depth=depth)
        paths[depth] = {"/".join(line["category_path"]) for line in job.lines}
    assert paths[1] == {"Astronomy", "Cooking", "Sailing"}
    assert {"Astronomy/Planets", "Cooking", "Sailing"} <= paths[2]
    job = Job(tmp_path, corpus(60), "s", taxonomy={"taxonomy": tree}, selected_categories=["Comets", "Cooking"])
    assert {"/".join(line["category_path"]) for line in job.lines} == {"Astronomy/Comets", "Cooking"}


def test_threshold(tmp_path: Path) -> None:
    chunks = [*mixed(), *corpus(30)]
    counts = [Job(tmp_path, chunks, str(t), confidence_threshold=t).result["total_results"] for t in (0.1, 0.9, 0.9999)]
    assert counts[0] > counts[1] > counts[2]


def test_validation(tmp_path: Path) -> None:
    nodes = [
        {"name": "Stars", "keywords": [{"term": "galaxy"}], "description": "telescope nebula comet"},
        {"name": "Food", "keywords": [{"term": "bread"}], "description": "oven flour telescope nebula butter"},
    ]
    texts = {
        "keyword": "The galaxy through a telescope, a nebula, an oven.",
        "ahead": "The comet.",
        "close": "The telescope shows the nebula, comet butter.",
    }
    chunks = [{"chunk_id": name, "document_id": name, "text": text} for name, text in texts.items()]
    values = {"taxonomy": {"taxonomy": {"name": "t", "children": nodes}}, "enable_validation_stage": True}
    job = Job(tmp_path, chunks, "a", **values)
    told = {line["chunk_id"]: line["validated"] for line in job.lines}
    assert told == {"keyword": True, "ahead": True, "close": False}
    assert job.result["validated"] == 2
    only = Job(tmp_path, chunks, "b", only_validated=True, **values)
    assert {line["chunk_id"] for line in only.lines} == {"keyword", "ahead"}


def test_entities_need_no_second_look(tmp_path: Path) -> None:
    job = Job(tmp_path, one("Sailing on 2024-01-31."), enable_validation_stage=True, extraction_type="entity")
    assert [line["validated"] for line in job.lines] == [True, True]


def test_relations(tmp_path: Path) -> None:
    texts = ["NASA met ESA by the moon"] * 3 + ["NASA met WHO by the tide"] * 2 + ["the oven"] * 5
    chunks = [{"chunk_id": f"d:{n}", "document_id": f"d{n}", "text": text} for n, text in enumerate(texts)]
    job = Job(tmp_path, chunks, extraction_type="both", entity_patterns=["acronym"], infer_relations=True)
    found = {(line["a"], line["b"]): line for line in job.relations}
    assert found["acronym:esa", "acronym:nasa"] == {
        "a": "acronym:esa",
        "b": "acronym:nasa",
        "npmi": round(normalised(0.3, 0.3, 0.5), 4),
        "chunks": 3,
    }
    assert found["Astronomy", "acronym:esa"]["npmi"] == 1.0
    # Met together twice only, or more rarely than by chance.
    assert not any("acronym:who" in pair or "Cooking" in pair for pair in found)
    npmi = [line["npmi"] for line in job.relations]
    assert npmi == sorted(npmi, reverse=True)
    assert not (Job(tmp_path, chunks, "without").ctx.folder / "relations.jsonl").exists()


def test_npmi() -> None:
    assert normalised(0.25, 0.25, 0.25) == pytest.approx(1)
    assert normalised(0.25, 0.5, 0.5) == pytest.approx(0)
    assert normalised(1, 1, 1) == 0


def test_neighbours_even_out_similarities() -> None:
    vectors = np.eye(8, dtype=np.float32)
    own = np.linspace(0, 0.7, 8, dtype=np.float32)[:, None]
    neighbours = Neighbours(vectors, own)
    text = np.zeros((1, 8), dtype=np.float32)
    text[0, [2, 4]] = 0.6, 0.2
    # Of the two that are alike the nearer one counts three times as much.
    assert neighbours.smooth(np.array([[1.0]], dtype=np.float32), text)[0, 0] == pytest.approx(0.75 + 0.25 * 0.25)
    far = np.zeros((1, 8), dtype=np.float32)
    assert neighbours.smooth(np.array([[0.4]], dtype=np.float32), far)[0, 0] == pytest.approx(0.3)

"""extraction in mode `llm`, against a stand-in for the endpoint: what is believed of its replies, and what is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from samples.document_support import FakeContext, read_lines
from samples.extraction_llm_support import (
    ASTRONOMY,
    COOKING,
    NAMED,
    SAILING,
    SEA,
    SKY,
    LlmJob,
    by_passage,
    found,
    is_judging,
    judged,
)
from samples.extraction_support import corpus
from samples.llm_stub import HANG, NONSENSE, Answer, Asked, refused

from worker.context import JobCancelled, PermanentError, RetryableError
from worker.jobs.extraction.parameters import Parameters
from worker.jobs.extraction.run import run


def test_quotes_of_the_model_become_spans_of_the_document(tmp_path: Path) -> None:
    sky = found((COOKING, "the dough went into the oven", 0.8), (ASTRONOMY, "looked at the moon", 0.9))
    job = LlmJob(tmp_path, by_passage(sky, found((SAILING, SEA, 1))))
    expected = [(ASTRONOMY, "looked at the moon"), (COOKING, "the dough went into the oven"), (SAILING, SEA)]
    assert job.told == expected
    document = " " * 10 + SKY + " " * (190 - len(SKY)) + SEA
    assert all(document[line["start"] : line["end"]] == line["text"] for line in job.lines)
    first = job.lines[0]
    assert (first["confidence"], first["method"], first["validated"]) == (0.9, "llm", None)
    assert (first["type"], first["category_path"]) == ("whole_text", ["Astronomy"])
    result = job.result
    assert (result["processed_chunks"], result["failed_chunks"], result["errors"]) == (2, 0, [])
    assert (result["llm"]["model"], result["llm"]["requests"], result["llm"]["failed_items"]) == ("stub", 2, 0)
    assert result["artifacts"]["errors"] == "errors.jsonl" and read_lines(job.ctx.folder / "errors.jsonl") == []


def test_what_the_model_is_asked(tmp_path: Path) -> None:
    job = LlmJob(tmp_path, found(), prefilter=2)
    sky, sea = sorted(job.stub.asked, key=lambda asked: SEA in asked.text)
    for asked, ids in ((sky, {ASTRONOMY, COOKING}), (sea, {SAILING})):
        item = asked.body["response_format"]["json_schema"]["schema"]["$defs"]["Found"]["properties"]["category_id"]
        assert len(item["enum"]) == 2 and ids <= set(item["enum"])
        assert all(f"id {name}: {name.capitalize()}. " in asked.text for name in item["enum"])
    assert "seen through a telescope" in sky.text and SKY in sky.text


@pytest.mark.parametrize(("mode", "shown"), [("contextual", "Arts > Astronomy."), ("document_wide", ": Astronomy.")])
def test_a_contextual_question_tells_the_path(tmp_path: Path, mode: str, shown: str) -> None:
    tree = {"name": "t", "children": [{"name": "Arts", "children": NAMED["children"]}]}
    values = {"taxonomy": {"taxonomy": tree}, "extraction_mode": mode, "selected_categories": ["Astronomy"]}
    job = LlmJob(tmp_path, found(), **values)
    assert all(shown in asked.text and "Cooking" not in asked.text for asked in job.stub.asked)


def test_what_the_text_does_not_say_is_dropped(tmp_path: Path) -> None:
    claims = found(
        (ASTRONOMY, "The moon is made of cheese, as all know.", 0.9),
        (ASTRONOMY, " ", 0.9),
        (COOKING, "Later the d0ugh went into the oven", 0.9),
        ("gardening", "the moon", 0.9),
        (SAILING, "the moon", 0.49),
    )
    job = LlmJob(tmp_path, by_passage(claims, found()))
    # Nearly the words of the text: the text's own ones are taken.
    assert job.told == [(COOKING, "Later the dough went into the oven")]
    assert (job.result["llm"]["ungrounded_dropped"], job.result["llm"]["outside_dropped"]) == (2, 1)
    assert job.result["errors"] == []


@pytest.mark.parametrize("confidence", [0.3, 0.6, 0.7, 0.8])
def test_a_confidence_that_is_the_threshold_passes(tmp_path: Path, confidence: float) -> None:
    answer = by_passage(found((ASTRONOMY, "the moon", confidence)), found())
    assert LlmJob(tmp_path, answer, "a", confidence_threshold=confidence).told == [(ASTRONOMY, "the moon")]
    first, *others = NAMED["children"]
    tree = {**NAMED, "children": [{**first, "confidence_threshold": confidence}, *others]}
    values = {"taxonomy": {"taxonomy": tree}, "confidence_threshold": 0.1}
    assert LlmJob(tmp_path, answer, "b", **values).told == [(ASTRONOMY, "the moon")]


def test_a_category_that_was_not_asked_about_is_dropped(tmp_path: Path) -> None:
    job = LlmJob(tmp_path, by_passage(found((SAILING, "the moon", 1)), found((SAILING, "rudder", 1))), prefilter=1)
    assert job.told == [(SAILING, "rudder")] and job.result["llm"]["outside_dropped"] == 1


def test_thresholds_and_the_most_labels(tmp_path: Path) -> None:
    strict = {"name": "t", "children": [{**node, "confidence_threshold": 0.95} for node in NAMED["children"][:1]]}
    strict["children"] += NAMED["children"][1:]
    every = found((ASTRONOMY, "the moon", 0.9), (COOKING, "oven", 0.7), (COOKING, "dough", 0.6), (SAILING, "went", 0.6))
    answer = by_passage(every, found())
    assert LlmJob(tmp_path, answer, "a", taxonomy={"taxonomy": strict}).told[0] == (COOKING, "oven")
    assert LlmJob(tmp_path, answer, "b", confidence_threshold=0.8).told == [(ASTRONOMY, "the moon")]
    most = LlmJob(tmp_path, answer, "c", max_labels_per_chunk=2).told
    assert most == [(ASTRONOMY, "the moon"), (COOKING, "oven"), (COOKING, "dough")]


def test_quotes_that_overlap_are_one_and_the_lower_category_of_a_branch_stays(tmp_path: Path) -> None:
    moons = {"id": "moons", "name": "Moons", "description": "moon"}
    tree = {"name": "t", "children": [{**NAMED["children"][0], "children": [moons]}, *NAMED["children"][1:]]}
    sky = found(
        ("moons", "looked at the", 0.6),
        ("moons", "at the moon", 0.9),
        (ASTRONOMY, "the moon through", 0.95),
        (ASTRONOMY, "a telescope", 0.7),
    )
    job = LlmJob(tmp_path, by_passage(sky, found()), taxonomy={"taxonomy": tree})
    assert job.told == [("moons", "looked at the moon"), (ASTRONOMY, "a telescope")]


def test_nonsense_fails_its_chunk_only(tmp_path: Path) -> None:
    values = {"extraction_type": "both", "entity_patterns": [{"name": "word", "pattern": "moon|hurt"}]}
    job = LlmJob(tmp_path, by_passage(NONSENSE, found((SAILING, "rudder", 1))), **values)
    assert job.told == [(SAILING, "rudder"), ("entity:word", "hurt")]
    (error,) = job.result["errors"]
    assert error == read_lines(job.ctx.folder / "errors.jsonl")[0]
    assert (error["code"], error["chunk_id"], error["document_id"]) == ("llm_bad_reply", "d:0", "d")
    assert (error["stage"], error["retryable"]) == ("extract", False)
    assert (job.result["processed_chunks"], job.result["failed_chunks"]) == (1, 1)


def test_a_confidence_beyond_one_is_mended(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Answer:
        return found((SAILING, "rudder", 0.9 if asked.is_repair else 90)) if SEA in asked.text else found()

    job = LlmJob(tmp_path, answer)
    assert job.lines[0]["confidence"] == 0.9 and job.result["llm"]["repaired"] == 1


def test_nothing_but_nonsense_fails_the_job(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="All 2 items failed") as caught:
        LlmJob(tmp_path, NONSENSE)
    assert caught.value.code == "llm_bad_reply" and list((tmp_path / "job").iterdir()) == []


@pytest.mark.parametrize("limit", [{"fail_fast": True}, {"max_error_rate": 0.4}])
def test_more_failures_than_wanted_fail_the_job(tmp_path: Path, limit: dict[str, Any]) -> None:
    answer = by_passage(NONSENSE, found((SAILING, "rudder", 1)))
    with pytest.raises(PermanentError, match=r"1 item failed \(llm\), more than fail_fast or max_error_rate") as caught:
        LlmJob(tmp_path, answer, **limit)
    assert caught.value.code == "too_many_errors" and list((tmp_path / "job").iterdir()) == []
    assert LlmJob(tmp_path, answer, "b", max_error_rate=0.5).result["failed_chunks"] == 1


def test_the_first_failure_stops_all_others(tmp_path: Path) -> None:
    asked: list[Asked] = []

    def answer(said: Asked) -> Answer:
        asked.append(said)
        return NONSENSE

    with pytest.raises(PermanentError, match="too_many_errors"):
        LlmJob(tmp_path, answer, chunks=corpus(50), fail_fast=True, llm={"concurrency": 1})
    # It was told what is wrong once.
    assert len(asked) == 2


def test_an_endpoint_that_hangs_for_one_chunk(tmp_path: Path) -> None:
    job = LlmJob(tmp_path, by_passage(HANG, found((SAILING, "rudder", 1))), llm={"timeout": 0.5})
    assert job.told == [(SAILING, "rudder")]
    (error,) = job.result["errors"]
    assert (error["code"], error["chunk_id"], error["retryable"]) == ("llm_unavailable", "d:0", True)


@pytest.mark.parametrize("count", [2, 20])
def test_an_endpoint_that_is_down_can_be_tried_again(tmp_path: Path, count: int) -> None:
    with pytest.raises(RetryableError) as caught:
        LlmJob(tmp_path, refused(503), chunks=corpus(count))
    assert caught.value.code == "llm_unavailable" and list((tmp_path / "job").iterdir()) == []


def test_the_budget_is_kept(tmp_path: Path) -> None:
    job = LlmJob(tmp_path, found(), chunks=corpus(12), llm={"max_requests": 5}, batch_size=3)
    assert len(job.stub.asked) == 5 and job.result["failed_chunks"] == 7
    assert {error["code"] for error in job.result["errors"]} == {"llm_budget_spent"}


def test_the_second_look_may_take_away(tmp_path: Path) -> None:
    """It is asked once for each chunk with findings, and what it says about others does not count."""
    answer = judged(lambda number: number != 2)
    job = LlmJob(tmp_path, answer, "a", enable_validation_stage=True)
    assert [(line["category_id"], line["validated"]) for line in job.lines] == [(ASTRONOMY, True), (COOKING, False)]
    assert job.result["validated"] == 1
    assert [is_judging(asked) for asked in job.stub.asked].count(True) == 1
    (asked,) = [asked for asked in job.stub.asked if is_judging(asked)]
    assert "2. category Cooking. A recipe" in asked.text and "quote: the dough" in asked.text and SKY in asked.text
    only = LlmJob(tmp_path, answer, "b", enable_validation_stage=True, only_validated=True)
    assert only.told == [(ASTRONOMY, "the moon")]


def test_what_the_second_look_says_nothing_or_both_about_is_not_confirmed(tmp_path: Path) -> None:
    finds = judged(bool)

    def answer(asked: Asked) -> Answer:
        both = [{"number": 1, "is_right": True}, {"number": 1, "is_right": False}]
        return {"verdicts": both} if is_judging(asked) else finds(asked)

    job = LlmJob(tmp_path, answer, enable_validation_stage=True)
    assert [line["validated"] for line in job.lines] == [False, False]


def test_a_second_look_that_fails_leaves_what_was_found(tmp_path: Path) -> None:
    finds = judged(bool)

    def answer(asked: Asked) -> Answer:
        return NONSENSE if is_judging(asked) else finds(asked)

    job = LlmJob(tmp_path, answer, "a", enable_validation_stage=True)
    assert [line["validated"] for line in job.lines] == [None, None]
    assert [(error["stage"], error["chunk_id"]) for error in job.result["errors"]] == [("validate", "d:0")]
    assert (job.result["failed_chunks"], job.result["validated"]) == (0, 0)
    assert LlmJob(tmp_path, answer, "b", enable_validation_stage=True, only_validated=True).lines == []


def test_entities_are_found_beside_by_rules(tmp_path: Path) -> None:
    answer = judged(lambda number: number == 1)
    job = LlmJob(tmp_path, answer, extraction_type="both", enable_validation_stage=True)
    assert [(line["type"], line["validated"]) for line in job.lines] == [("whole_text", True), ("whole_text", False)]
    more = {"name": "t", "children": [{**NAMED["children"][0], "children": [{"name": "Moon"}]}, *NAMED["children"][1:]]}
    lines = LlmJob(tmp_path, answer, "b", extraction_type="both", taxonomy={"taxonomy": more}).lines
    # Contextual: the keyword of the child counts, since the model has found its parent.
    assert [line["text"] for line in lines if line["type"] == "keyword"] == ["moon"]


def test_words_that_do_not_occur_are_no_matter_when_the_model_is_asked_about_all(tmp_path: Path) -> None:
    tree = {"name": "t", "children": [{"id": f"q{n}", "name": f"Quark{n}"} for n in range(5)]}
    answer = by_passage(found(("q3", "the moon", 1)), found())
    assert LlmJob(tmp_path, answer, "a", taxonomy={"taxonomy": tree}).told == [("q3", "the moon")]
    with pytest.raises(PermanentError) as caught:
        LlmJob(tmp_path, answer, "b", taxonomy={"taxonomy": tree}, prefilter=4)
    assert caught.value.code == "empty_profile"


def test_many_chunks_in_batches_with_progress(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Answer:
        return found((ASTRONOMY, asked.text.partition("Passage:\n")[2], 0.9))

    job = LlmJob(tmp_path, answer, chunks=corpus(250), batch_size=100)
    assert [line["chunk_id"] for line in job.lines] == [chunk["chunk_id"] for chunk in corpus(250)]
    notes = job.ctx.notes
    assert [note[0] for note in notes] == sorted(note[0] for note in notes) and notes[-1][0] == 1
    assert [note[2] for note in notes if note[1] == "Asking the model"][-1] == 250
    assert job.stub.most_at_once <= 4


def test_a_cancelled_job_stops_asking_and_leaves_nothing(tmp_path: Path) -> None:
    asked: list[Asked] = []

    def answer(said: Asked) -> Answer:
        asked.append(said)
        return HANG

    def check() -> None:
        if asked:
            raise JobCancelled

    with pytest.raises(JobCancelled):
        LlmJob(tmp_path, answer, check=check)
    assert list((tmp_path / "job").iterdir()) == []


def test_a_refused_address_ends_the_job_before_anything_is_read(tmp_path: Path) -> None:
    given = {"source": {"path": "none.jsonl"}, "taxonomy": {"taxonomy": NAMED}, "mode": "llm"}
    given["llm"] = {"base_url": "http://127.0.0.1:9/v1", "model": "m"}
    with pytest.raises(PermanentError) as caught:
        run(FakeContext(tmp_path / "job", tmp_path), Parameters.model_validate(given))
    assert caught.value.code == "llm_base_url_refused"

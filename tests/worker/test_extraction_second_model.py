"""extraction in mode `llm` with `validation_llm`: a second model, with an endpoint and limits of its own, judges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from samples.document_support import FakeContext, read_lines
from samples.extraction_llm_support import (
    ASTRONOMY,
    COOKING,
    NAMED,
    SAILING,
    SEA,
    LlmJob,
    by_passage,
    found,
    is_judging,
    judged,
)
from samples.extraction_support import corpus
from samples.llm_stub import NONSENSE, Answer, Asked, refused

from worker.context import PermanentError, RetryableError
from worker.jobs.extraction.parameters import Parameters
from worker.jobs.extraction.run import run

FINDS = by_passage(
    found((ASTRONOMY, "the moon", 0.9), (COOKING, "the dough", 0.8)), found((SAILING, "rudder broke", 0.7))
)


def all_of_it(asked: Asked) -> Answer:
    return found((ASTRONOMY, asked.text.partition("Passage:\n")[2], 0.9))


def test_the_second_model_judges_and_the_first_does_not(tmp_path: Path) -> None:
    job = LlmJob(tmp_path, FINDS, second=judged(lambda number: number != 2))
    assert [is_judging(asked) for asked in job.stub.asked] == [False, False]
    assert [is_judging(asked) for asked in job.second.asked] == [True, True]
    assert {asked.body["model"] for asked in job.second.asked} == {"judge"}
    found_and_judged = [(line["category_id"], line["validated"]) for line in job.lines]
    assert found_and_judged == [(ASTRONOMY, True), (COOKING, False), (SAILING, True)]


def test_it_may_take_away_and_never_adds(tmp_path: Path) -> None:
    """It is told the findings of one chunk at a time; whatever else its reply has is not read."""

    def answer(asked: Asked) -> Answer:
        more = [{"number": n, "is_right": True} for n in (0, 3, 77)]
        return {"verdicts": [*more, {"number": 1, "is_right": SEA in asked.text}]}

    job = LlmJob(tmp_path, FINDS, second=answer, only_validated=True)
    assert job.told == [(SAILING, "rudder broke")]
    assert (job.result["validated"], job.result["total_results"]) == (1, 1)


def test_what_both_models_were_used_for_is_told(tmp_path: Path) -> None:
    job = LlmJob(tmp_path, FINDS, second=judged(bool))
    first, second = job.result["llm"], job.result["validation_llm"]
    assert (first["model"], first["requests"], second["model"], second["requests"]) == ("stub", 2, "judge", 2)
    assert first["prompt_tokens"] > 0 and second["prompt_tokens"] > 0
    assert "outside_dropped" in first and "outside_dropped" not in second
    alone = LlmJob(tmp_path, judged(bool), "alone", enable_validation_stage=True).result
    assert (alone["llm"]["requests"], alone["validation_llm"]) == (3, None)


def test_the_second_has_a_budget_of_its_own(tmp_path: Path) -> None:
    limits = {"llm": {"max_requests": 2}, "validation_llm": {"max_requests": 1, "concurrency": 1}}
    job = LlmJob(tmp_path, FINDS, second=judged(bool), **limits)
    assert (len(job.stub.asked), len(job.second.asked)) == (2, 1)
    assert [line["validated"] for line in job.lines] == [True, True, None]
    assert (job.result["llm"]["budget_spent"], job.result["validation_llm"]["budget_spent"]) == (False, True)
    (error,) = job.result["errors"]
    assert (error["code"], error["stage"], error["chunk_id"]) == ("llm_budget_spent", "validate", "d:1")
    assert error["message"] == "validation_llm.max_requests is 1, and 1 are used"
    assert job.result["failed_chunks"] == 0


@pytest.mark.parametrize("count", [2, 20])
def test_a_second_endpoint_that_is_down_can_be_tried_again(tmp_path: Path, count: int) -> None:
    with pytest.raises(RetryableError, match=r"\(validation_llm\)") as caught:
        LlmJob(tmp_path, all_of_it, second=refused(503), chunks=corpus(count))
    assert caught.value.code == "llm_unavailable" and list((tmp_path / "job").iterdir()) == []


def test_a_second_model_that_refuses_ends_the_job(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match=r"HTTP 404.*\(validation_llm\)") as caught:
        LlmJob(tmp_path, FINDS, second=refused(404))
    assert caught.value.code == "llm_refused"


def test_nonsense_of_the_second_leaves_what_was_found(tmp_path: Path) -> None:
    job = LlmJob(tmp_path, FINDS, second=NONSENSE)
    assert [line["validated"] for line in job.lines] == [None, None, None]
    assert {error["code"] for error in read_lines(job.ctx.folder / "errors.jsonl")} == {"llm_bad_reply"}


def test_failures_of_the_second_count_too(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match=r"items? failed \(validation_llm\)") as caught:
        LlmJob(tmp_path, FINDS, second=NONSENSE, fail_fast=True)
    assert caught.value.code == "too_many_errors"


def given(**more: Any) -> Parameters:
    """With a first endpoint that anybody may name."""
    values = {"source": {"path": "none.jsonl"}, "taxonomy": {"taxonomy": NAMED}, "mode": "llm"}
    values |= {"llm": {"base_url": "https://example.org/v1", "model": "m"}, "enable_validation_stage": True}
    return Parameters.model_validate({**values, **more})


@pytest.mark.parametrize(
    ("options", "listed", "places"),
    [
        ({"base_url": "http://127.0.0.1:9/v1"}, [], ["base_url"]),
        ({"base_url": "http://169.254.169.254/v1", "api_key_env": "SOME_KEY"}, [], ["base_url", "api_key_env"]),
        ({"base_url": "https://example.com/v1", "api_key_env": "SOME_KEY"}, [], ["api_key_env"]),
        ({"base_url": "http://127.0.0.1:9/v1", "api_key_env": "SOME_KEY"}, ["http://127.0.0.1:9/v1/"], []),
        ({"base_url": "https://example.com/v1"}, [], []),
    ],
)
def test_its_address_is_checked_as_that_of_the_first(
    options: dict[str, str], listed: list[str], places: list[str]
) -> None:
    problems = given(validation_llm={"model": "judge", **options}).check_llm(listed)
    assert [place for place, _ in problems] == [("validation_llm", place) for place in places]
    assert all(text.startswith("validation_llm.") for _, text in problems)


def test_a_wrong_address_of_the_first_is_told_beside() -> None:
    inward = {"base_url": "http://127.0.0.1:9/v1", "model": "m"}
    problems = given(llm=inward, validation_llm=inward).check_llm([])
    assert [place for place, _ in problems] == [("llm", "base_url"), ("validation_llm", "base_url")]


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ({"base_url": "http://127.0.0.1:9/v1"}, "llm_base_url_refused", "validation_llm.base_url has the port"),
        (
            {"base_url": "http://127.0.0.1:8/v1", "api_key_env": "THERE_IS_NO_SUCH_VARIABLE"},
            "llm_key_missing",
            "which validation_llm.api_key_env names",
        ),
    ],
)
def test_the_job_looks_again_before_anything_is_read(
    tmp_path: Path, options: dict[str, str], code: str, words: str
) -> None:
    ctx = FakeContext(tmp_path / "job", tmp_path)
    ctx.llm_base_urls = ("http://127.0.0.1:8/v1",)
    with pytest.raises(PermanentError, match=words) as caught:
        run(ctx, given(validation_llm={"model": "judge", **options}))
    assert caught.value.code == code


@pytest.mark.parametrize("more", [{"enable_validation_stage": False}, {"mode": "offline", "llm": None}])
def test_a_second_model_that_would_not_be_asked_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="needs mode 'llm' and enable_validation_stage") as caught:
        given(validation_llm={"base_url": "https://example.org/v1", "model": "m"}, **more)
    assert caught.value.errors()[0]["loc"] == ("validation_llm",)


def test_the_manifest_tells_which_models_were_asked(tmp_path: Path) -> None:
    job = LlmJob(tmp_path, FINDS, second=judged(bool))
    manifest = (job.ctx.folder / "manifest.json").read_text()
    assert '"model": "judge"' in manifest and '"model": "stub"' in manifest

"""A pipeline of the built-in job types in mode `llm`: what a stage is told of a model reaches it, or is refused by its
field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fake_queue import FakeQueue

from jobqueue import Settings, load_settings

PIPELINE = "/api/v1/jobs/pipeline"
LISTED = "http://127.0.0.1:9/v1"
LLM = {"base_url": LISTED, "model": "m"}
WITH_MODEL = ("taxonomy_processing", "extraction", "dataset_generation")


@pytest.fixture
def api_settings(tmp_path: Path) -> Settings:
    (tmp_path / "config.toml").write_text(f'[llm]\nbase_urls = ["{LISTED}"]\n')
    return load_settings(tmp_path / "config.toml", {})


async def submit(api: Any, **stages: Any) -> tuple[int, Any]:
    return await api.post(PIPELINE, {"documents": [{"text": "one", "name": "a.txt"}], **stages})  # type: ignore[no-any-return]


async def test_each_stage_that_can_ask_a_model_may(api: Any, fake: FakeQueue) -> None:
    status, body = await submit(api, **{stage: {"mode": "llm", "llm": LLM} for stage in WITH_MODEL})
    assert status == 202, body
    told = {stage: dict(fake.new[job_id].args[1]) for stage, job_id in body["jobs"].items()}
    for stage in WITH_MODEL:
        assert (told[stage]["mode"], told[stage]["llm"]) == ("llm", LLM), stage
    assert told["taxonomy_processing"]["source"] == {"job_id": body["jobs"]["document_processing"]}
    assert "llm" not in told["document_processing"]


@pytest.mark.parametrize("stage", WITH_MODEL)
@pytest.mark.parametrize(
    ("given", "loc"),
    [
        ({"mode": "llm"}, ["llm"]),
        ({"llm": LLM}, ["llm"]),
        ({"mode": "llm", "llm": {"base_url": LISTED}}, ["llm", "model"]),
        ({"mode": "llm", "llm": {**LLM, "base_url": "http://127.0.0.1:8/v1"}}, ["llm", "base_url"]),
        ({"mode": "both", "llm": LLM}, ["mode"]),
    ],
)
async def test_what_is_wrong_is_told_by_its_field_and_nothing_is_stored(
    api: Any, fake: FakeQueue, stage: str, given: Any, loc: list[str]
) -> None:
    status, body = await submit(api, **{stage: given})
    assert (status, body["error"]) == (400, "InvalidParameterError")
    assert [detail["loc"] for detail in body["details"]] == [[stage, *loc]]
    assert not fake.new

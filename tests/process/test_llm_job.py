"""A job in mode `llm` from its submission to its files: real server, real worker, a stand-in for the model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from samples import dataset_support
from samples.llm_stub import HANG, Asked, LlmStub, llm_stub, refused
from support import System, wait_for

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

KEY = "sk-that-nobody-may-see"


def writes(asked: Asked) -> dict[str, Any]:
    first, *_ = re.split(r"(?<=\.) ", asked.text.partition("\nText:\n")[2].strip())
    question = f"How does {first.split()[0]} begin?"
    return {"records": [{"question": question, "answer": first, "quotes": [first]}]}


@pytest.fixture
def stub() -> Iterator[LlmStub]:
    with llm_stub(writes) as stub:
        yield stub


@pytest.fixture
def system(stub: LlmStub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[System]:
    monkeypatch.setenv("ENDPOINT_KEY", KEY)
    made = System(tmp_path)
    with (tmp_path / "config.toml").open("a") as config:
        config.write(f'[llm]\nbase_urls = ["{stub.base_url}"]\n[log]\nlevel = "debug"\n')
    try:
        made.server()
        made.worker()
        yield made
    finally:
        made.stop()


def body(stub: LlmStub, **more: Any) -> dict[str, Any]:
    parameters = {"source": {"chunks": dataset_support.chunks()}, "generation_mode": "qa", "mode": "llm"}
    llm = stub.options(api_key_env="ENDPOINT_KEY", **more)
    return {"job_type": "dataset_generation", "user_id": "ann", "parameters": {**parameters, "llm": llm}}


def test_a_dataset_is_written_by_the_model(system: System, stub: LlmStub) -> None:
    code, answer = system.http("POST", "/submit", body(stub))
    assert code == 202, answer
    system.wait_status(answer["job_id"], "completed")
    result = system.http("GET", f"/result/{answer['job_id']}")[1]["result"]
    assert (result["entries_count"], result["llm"]["requests"], result["failed_items"]) == (40, 40, 0)
    assert {asked.headers["Authorization"] for asked in stub.asked} == {f"Bearer {KEY}"}
    folder = system.folder / "data" / "jobs" / answer["job_id"]
    assert (folder / "train.jsonl").stat().st_size > 0
    for file in [*folder.iterdir(), system.folder / "log"]:
        assert KEY not in file.read_text("utf-8"), file.name


def test_an_endpoint_that_echoes_the_key_does_not_spread_it(system: System, stub: LlmStub) -> None:
    stub.answer = lambda asked: refused(401, f"bad key {asked.headers['Authorization']}")
    job_id = system.http("POST", "/submit", body(stub))[1]["job_id"]
    error = system.wait_status(job_id, "failed")["error"]
    assert error.startswith("llm_refused: The endpoint says HTTP 401") and KEY not in error
    assert KEY not in (system.folder / "log").read_text("utf-8")


def test_a_model_that_never_answers_is_cancelled_at_once(system: System, stub: LlmStub) -> None:
    stub.answer = lambda asked: HANG
    job_id = system.http("POST", "/submit", body(stub))[1]["job_id"]
    wait_for(lambda: stub.asked, "the model is asked")
    system.http("POST", f"/cancel/{job_id}")
    system.wait_status(job_id, "cancelled", 5)
    wait_for(lambda: system.http("GET", "/queue/stats")[1]["running_jobs"] == 0, "the slot is free", 5)


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/v1", "http://localhost:6379/v1", "http://[::ffff:127.0.0.1]/v1"]
)
def test_addresses_that_lead_inwards_are_refused_at_submit(system: System, stub: LlmStub, url: str) -> None:
    code, answer = system.http("POST", "/submit", body(stub, base_url=url))
    assert code == 400
    said = {tuple(detail["loc"]): detail["msg"] for detail in answer["details"]}
    assert said[("parameters", "llm", "base_url")].startswith("llm.base_url ")
    assert "operator lists" in said[("parameters", "llm", "api_key_env")]

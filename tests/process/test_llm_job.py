"""Jobs in mode `llm` from their submission to their files: real server, real worker, a stand-in for each model."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from samples import dataset_support
from samples.document_support import read_lines
from samples.extraction_llm_support import CHUNKS, NAMED, by_passage, found, is_judging, judged
from samples.llm_stub import HANG, Asked, LlmStub, llm_stub, refused
from support import System, wait_for, working

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
def judge() -> Iterator[LlmStub]:
    """A second one, for `validation_llm`."""
    with llm_stub(judged(lambda number: number == 1)) as stub:
        yield stub


@pytest.fixture
def system(stub: LlmStub, judge: LlmStub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[System]:
    monkeypatch.setenv("ENDPOINT_KEY", KEY)
    made = System(tmp_path)
    with (tmp_path / "config.toml").open("a") as config:
        listed = json.dumps([stub.base_url, judge.base_url])
        config.write(f'[llm]\nbase_urls = {listed}\n[log]\nlevel = "debug"\n')
    with working(made):
        yield made


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


def test_findings_of_one_model_are_judged_by_another(system: System, stub: LlmStub, judge: LlmStub) -> None:
    quotes = found(("astronomy", "the moon", 0.9), ("cooking", "the dough", 0.8))
    stub.answer = by_passage(quotes, found(("sailing", "rudder broke", 0.7)))
    chunks = [{name: chunk[name] for name in ("chunk_id", "document_id", "text")} for chunk in CHUNKS]
    parameters = {"source": {"chunks": chunks}, "taxonomy": {"taxonomy": NAMED}, "mode": "llm", "llm": stub.options()}
    parameters |= {"enable_validation_stage": True, "only_validated": True}
    parameters["validation_llm"] = judge.options(model="judge", api_key_env="ENDPOINT_KEY")
    sent = {"job_type": "extraction", "user_id": "ann", "parameters": parameters}
    code, answer = system.http("POST", "/submit", sent)
    assert code == 202, answer
    system.wait_status(answer["job_id"], "completed")
    result = system.http("GET", f"/result/{answer['job_id']}")[1]["result"]
    assert (result["validated"], result["llm"]["requests"], result["validation_llm"]["requests"]) == (2, 2, 2)
    assert not any(map(is_judging, stub.asked)) and all(map(is_judging, judge.asked))
    assert {asked.headers["Authorization"] for asked in judge.asked} == {f"Bearer {KEY}"}
    assert not any("Authorization" in asked.headers for asked in stub.asked)
    lines = read_lines(system.folder / "data" / "jobs" / answer["job_id"] / "extractions.jsonl")
    assert [(line["text"], line["validated"]) for line in lines] == [("the moon", True), ("rudder broke", True)]


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


def test_addresses_that_lead_inwards_are_refused_at_submit(system: System, stub: LlmStub) -> None:
    for url in ("http://169.254.169.254/v1", "http://localhost:6379/v1", "http://[::ffff:127.0.0.1]/v1"):
        code, answer = system.http("POST", "/submit", body(stub, base_url=url))
        assert code == 400
        said = {tuple(detail["loc"]): detail["msg"] for detail in answer["details"]}
        assert said[("parameters", "llm", "base_url")].startswith("llm.base_url ")
        assert "operator lists" in said[("parameters", "llm", "api_key_env")]

"""Jobs that read what earlier jobs have left: looked up at submit, waited for, refused by their field; statement R1."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
from chain_parameters import CHAIN_TYPES
from conftest import ValkeyServer, settings_for
from fake_queue import FakeQueue
from working_hand import WorkingHand, get

from jobqueue import Completed, Failed, JobQueue, Settings, load_settings

JOBS = "/api/v1/jobs"
SUBMIT = f"{JOBS}/submit"
IDS = [str(uuid.UUID(int=n)) for n in range(1, 8)]
AT_SOURCE = ["parameters", "source", "job_id"]


@pytest.fixture
def api_settings(tmp_path: Path) -> Settings:
    (tmp_path / "config.toml").write_text(CHAIN_TYPES)
    return load_settings(tmp_path / "config.toml", {"JOBQUEUE_SERVER_TICK_SECONDS": "0.05"})


@pytest.fixture
def settings(valkey: ValkeyServer, tmp_path: Path) -> Settings:
    (tmp_path / "config.toml").write_text(CHAIN_TYPES)
    return settings_for(valkey.url, tmp_path)


def reading(source: str, **options: Any) -> dict[str, Any]:
    return {"job_type": "taxonomy_processing", "parameters": {"source": {"job_id": source}}, **options}


async def submit(api: Any, body: dict[str, Any]) -> str:
    status, answer = await api.post(SUBMIT, body)
    assert status == 202, answer
    return str(answer["job_id"])


async def refused(api: Any, body: dict[str, Any], path: str = SUBMIT) -> tuple[int, str, list[Any], str]:
    status, answer = await api.post(path, body)
    detail = answer["details"][0]
    return status, answer["error"], detail["loc"], detail["msg"].partition(":")[0]


@pytest.mark.parametrize("state", ["pending", "scheduled", "running", "completed"])
async def test_api_R1_the_job_depends_on_its_source(api: Any, fake: FakeQueue, state: Any) -> None:
    fake.add(IDS[0], state, job_type="document_processing")
    job = fake.new[await submit(api, reading(IDS[0]))]
    assert (list(job.depends_on), job.on_failure) == ([IDS[0]], "cancel")


async def test_api_R1_beside_what_it_depends_on_anyway(api: Any, fake: FakeQueue) -> None:
    fake.add(IDS[0], job_type="document_processing")
    job = fake.new[await submit(api, reading(IDS[0], depends_on=[IDS[1], IDS[0]], on_failure="run"))]
    assert (list(job.depends_on), job.on_failure) == ([IDS[1], IDS[0]], "run")
    job = fake.new[await submit(api, reading(IDS[0], on_failure="run"))]
    assert (list(job.depends_on), job.on_failure) == ([IDS[0]], "run")


async def test_api_R1_on_failure_needs_a_job_to_wait_for(api: Any) -> None:
    body = {"job_type": "taxonomy_processing", "on_failure": "run"}
    assert (await refused(api, body))[:3] == (400, "InvalidParameterError", ["on_failure"])


async def test_api_R1_unknown_and_foreign_are_the_same(api: Any, fake: FakeQueue) -> None:
    fake.add(IDS[0], job_type="document_processing", user_id="bob")
    answers = [await api.post(SUBMIT, reading(job_id, user_id="ann")) for job_id in IDS[:2]]
    for job_id, (status, body) in zip(IDS, answers, strict=False):
        assert (status, body["error"]) == (400, "InvalidParameterError")
        assert body["details"] == [{"loc": AT_SOURCE, "msg": f"source_not_found: there is no job {job_id}"}]
        assert body["message"].startswith("Invalid value for parameters.source.job_id: source_not_found")
    assert not fake.new


async def test_api_R1_a_job_of_another_type(api: Any, fake: FakeQueue) -> None:
    fake.add(IDS[0], "completed", job_type="extraction")
    status, body = await api.post(SUBMIT, reading(IDS[0]))
    text = f"source_wrong_type: job {IDS[0]} is of type extraction, not document_processing"
    assert (status, body["details"]) == (400, [{"loc": AT_SOURCE, "msg": text}])
    fake.add(IDS[1], "completed", job_type="taxonomy_processing")
    dataset = {"job_type": "dataset_generation", "parameters": {"source": {"job_id": IDS[1]}}}
    assert (await api.post(SUBMIT, dataset))[1]["details"][0]["msg"].endswith("not extraction or document_processing")


@pytest.mark.parametrize("state", ["failed", "cancelled"])
async def test_api_R1_a_job_that_ended_badly(api: Any, fake: FakeQueue, state: Any) -> None:
    fake.add(IDS[0], state, job_type="document_processing")
    answer = await refused(api, reading(IDS[0]))
    assert answer == (409, "SourceFailedError", AT_SOURCE, "source_failed")
    assert not fake.new


async def test_api_R1_all_that_is_wrong_is_told_at_once(api: Any, fake: FakeQueue) -> None:
    fake.add(IDS[0], "failed", job_type="document_processing")
    parameters = {"source": {"job_id": IDS[1]}, "taxonomy": {"job_id": IDS[0]}}
    status, body = await api.post(SUBMIT, {"job_type": "extraction", "parameters": parameters})
    assert status == 400
    assert [detail["loc"][1] for detail in body["details"]] == ["source", "taxonomy"]


async def test_api_R1_one_read_for_a_bulk_and_none_without_sources(api: Any, fake: FakeQueue) -> None:
    for job_id in IDS[:3]:
        fake.add(job_id, job_type="document_processing")
    jobs = [reading(IDS[n % 3]) for n in range(300)]
    fake.reads.clear()
    assert (await api.post(f"{SUBMIT}/bulk", {"jobs": jobs}))[1]["accepted"] == 300
    assert fake.reads == [tuple(IDS[:3])]
    fake.reads.clear()
    assert (await api.post(f"{SUBMIT}/bulk", {"jobs": [{"job_type": "extraction"}] * 5}))[1]["accepted"] == 5
    await submit(api, {"job_type": "document_processing"})
    assert not fake.reads


async def test_api_R1_a_source_in_the_same_bulk(api: Any, fake: FakeQueue) -> None:
    first = {"job_type": "document_processing", "job_id": IDS[0]}
    other = {"job_type": "document_processing", "job_id": IDS[1], "user_id": "bob"}
    bad = {"job_type": "document_processing", "job_id": IDS[2], "parameters": {"seed": -1}}
    jobs = [
        first, other, bad, reading(IDS[0]), reading(IDS[1]), reading(IDS[2]), reading(IDS[3], job_id=IDS[3]),
        reading(IDS[4]), {"job_type": "document_processing", "job_id": IDS[4]},
        {"job_type": "extraction", "parameters": {"taxonomy": {"job_id": IDS[0]}}},
    ]  # fmt: skip
    status, body = await api.post(f"{SUBMIT}/bulk", {"jobs": jobs})
    assert status == 202
    said = [entry.get("details", [{"msg": "ok"}])[0]["msg"].partition(":")[0] for entry in body["results"]]
    missing = "source_not_found"
    wrong = "Input should be greater than or equal to 0"
    assert said == ["ok", "ok", wrong, "ok", missing, missing, missing, missing, "ok", "source_wrong_type"]
    assert list(fake.new[body["results"][3]["job_id"]].depends_on) == [IDS[0]]


async def test_api_R1_what_was_accepted_is_answered_again(api: Any, fake: FakeQueue) -> None:
    """Also when its source has failed or gone since: the client may not have got the first answer."""
    fake.add(IDS[0], job_type="document_processing")
    named, keyed = reading(IDS[0], job_id=IDS[1]), {"headers": {"Idempotency-Key": "k"}}
    first = [await api.post(SUBMIT, named), await api.post(SUBMIT, reading(IDS[0]), **keyed)]
    fake.change(IDS[0], "failed")
    assert [await api.post(SUBMIT, named), await api.post(SUBMIT, reading(IDS[0]), **keyed)] == first
    bulk = await api.post(f"{SUBMIT}/bulk", {"jobs": [named, reading(IDS[0])]})
    assert (bulk[1]["accepted"], bulk[1]["rejected"]) == (1, 1)
    fake.expire(IDS[0])
    assert [await api.post(SUBMIT, named), await api.post(SUBMIT, reading(IDS[0]), **keyed)] == first
    assert (await api.post(SUBMIT, reading(IDS[0])))[0] == 400
    assert (await api.post(SUBMIT, reading(IDS[0]), headers={"Idempotency-Key": "other"}))[0] == 400


async def test_api_R1_a_schedule_is_checked_when_it_is_created(api: Any, fake: FakeQueue) -> None:
    fake.add(IDS[0], "completed", job_type="document_processing")
    fake.add(IDS[1], "failed", job_type="document_processing")
    rule = {"interval_seconds": 60}
    created = await api.post(f"{JOBS}/schedules", reading(IDS[0], schedule_id=IDS[5], **rule))
    assert created[0] == 201
    for job_id, status, code in ((IDS[1], 409, "source_failed"), (IDS[2], 400, "source_not_found")):
        answer = await refused(api, reading(job_id, **rule), f"{JOBS}/schedules")
        assert (answer[0], answer[2], answer[3]) == (status, AT_SOURCE, code)
    fake.expire(IDS[0])
    assert (await api.post(f"{JOBS}/schedules", reading(IDS[0], schedule_id=IDS[5], **rule)))[0] == 201
    assert len(fake.schedules.known) == 1


async def test_api_R1_H3_fresh_parameters_are_looked_up_too(api: Any, fake: FakeQueue) -> None:
    fake.add(IDS[0], "failed", job_type="taxonomy_processing", depends_on=(IDS[1],))
    fake.add(IDS[1], "running", job_type="document_processing")
    fake.add(IDS[2], "running", job_type="document_processing")
    fake.add(IDS[3], "completed", job_type="document_processing")

    async def restart(job_id: str) -> tuple[int, Any]:
        status, body = await api.post(f"{JOBS}/restart/{IDS[0]}", {"parameters": {"source": {"job_id": job_id}}})
        return status, body.get("details", [{"msg": ""}])[0]["msg"].partition(":")[0]

    assert await restart(IDS[2]) == (400, "source_not_completed")
    assert await restart(IDS[4]) == (400, "source_not_found")
    assert not fake.restarted
    assert await restart(IDS[1]) == (200, "")
    fake.change(IDS[0], "failed")
    assert await restart(IDS[3]) == (200, "")
    assert fake.restarted[IDS[0]] == ["taxonomy_processing", {"source": {"job_id": IDS[3]}}]


async def test_api_R1_on_the_real_queue_it_runs_when_its_source_has_completed(real: Any, worker: WorkingHand) -> None:
    parent = await submit(real, {"job_type": "document_processing"})
    child = await submit(real, reading(parent))
    assert (await get(real, child))["waiting"]["reason"] == "dependency"
    claimed = await worker.claim()
    assert claimed.job_id == parent
    await worker.finish(claimed, Completed())
    claimed = await worker.claim()
    assert claimed.job_id == child
    await worker.finish(claimed, Completed())


async def test_api_R1_on_the_real_queue_a_failed_source_cancels_and_then_refuses(
    real: Any, worker: WorkingHand, queue: JobQueue
) -> None:
    parent = await submit(real, {"job_type": "document_processing"})
    body = reading(parent)
    first = await real.post(SUBMIT, body, headers={"Idempotency-Key": "k"})
    child = first[1]["job_id"]
    await worker.finish(await worker.claim(), Failed("it broke"))
    seen = await get(real, child)
    assert seen["status"] == "cancelled" and parent in seen["reason"]
    assert (await refused(real, body))[:2] == (409, "SourceFailedError")
    assert await real.post(SUBMIT, body, headers={"Idempotency-Key": "k"}) == first
    foreign = await refused(real, reading(parent, user_id="ann"))
    assert foreign == (400, "InvalidParameterError", AT_SOURCE, "source_not_found")


async def test_api_R1_a_source_that_goes_after_the_look_is_told_by_its_field(
    real: Any, worker: WorkingHand, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = await submit(real, {"job_type": "document_processing"})
    await worker.finish(await worker.claim(), Completed())
    look = type(worker.queue.inspector).get_many

    async def look_and_lose(inspector: Any, job_ids: Any) -> Any:
        jobs = await look(inspector, job_ids)
        if list(job_ids) == [parent] and jobs[0] is not None:
            await worker.queue.producer.remove(parent)
        return jobs

    monkeypatch.setattr(type(worker.queue.inspector), "get_many", look_and_lose)
    assert await refused(real, reading(parent)) == (400, "InvalidParameterError", AT_SOURCE, "source_not_found")

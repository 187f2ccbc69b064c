"""Submissions that make no sense are refused by their field, and nothing of them reaches the queue, statement Q12."""

from __future__ import annotations

from typing import Any

import pytest
from document_examples import JOB
from fake_queue import FakeQueue

SUBMIT = "/api/v1/jobs/submit"
MANY = [f"job-{n}" for n in range(10_000)]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"delay_seconds": -1}, "delay_seconds"),
        ({"delay_seconds": 1e12}, "delay_seconds"),
        ({"delay_seconds": "5"}, "delay_seconds"),
        ({"delay_seconds": 5, "scheduled_time": "2030-01-01T00:00:00Z"}, "delay_seconds"),
        ({"scheduled_time": "9999-01-01T00:00:00Z"}, "scheduled_time"),
        ({"max_attempts": 0}, "max_attempts"),
        ({"max_attempts": 101}, "max_attempts"),
        ({"max_attempts": 2.5}, "max_attempts"),
        ({"backoff_seconds": -0.1}, "backoff_seconds"),
        ({"backoff_seconds": 10, "backoff_max_seconds": 5}, "backoff_max_seconds"),
        ({"depends_on": MANY}, "depends_on"),
        ({"depends_on": "job-1"}, "depends_on"),
        ({"depends_on": ["a b"]}, "depends_on.0"),
        ({"depends_on": ["ok", "a:b"]}, "depends_on.1"),
        ({"depends_on": [JOB], "job_id": JOB}, "depends_on"),
        ({"on_failure": "cancel"}, "on_failure"),
        ({"depends_on": ["ok"], "on_failure": "ignore"}, "on_failure"),
        ({"unique_key": ""}, "unique_key"),
        ({"unique_key": "two words"}, "unique_key"),
        ({"unique_key": "x" * 256}, "unique_key"),
        ({"expires_in": 0}, "expires_in"),
        ({"expires_in": -5}, "expires_in"),
        ({"expires_in": 1.5}, "expires_in"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_api_Q12_refused_by_its_field(api: Any, fake: FakeQueue, given: dict[str, Any], field: str) -> None:
    status, body = await api.post(SUBMIT, {"job_type": "extraction", **given})
    assert (status, body["error"]) == (400, "InvalidParameterError")
    assert field in [".".join(map(str, detail["loc"])) for detail in body["details"]]
    assert not fake.new


async def test_api_Q12_in_a_bulk_each_by_itself(api: Any, fake: FakeQueue) -> None:
    jobs = [{"job_type": "extraction"}, {"job_type": "extraction", "delay_seconds": -1}]
    status, body = await api.post(f"{SUBMIT}/bulk", {"jobs": jobs})
    assert (status, body["accepted"], body["rejected"]) == (202, 1, 1)
    assert body["results"][1]["details"][0]["loc"] == ["delay_seconds"]
    assert len(fake.new) == 1


async def test_options_reach_the_queue_and_the_type_has_defaults(api: Any, fake: FakeQueue) -> None:
    options = {
        "job_type": "extraction", "max_attempts": 5, "backoff_seconds": 0.5, "backoff_max_seconds": 60,
        "depends_on": [JOB.upper(), JOB, "stock"], "on_failure": "run", "unique_key": "k", "expires_in": 9,
        "delay_seconds": 3,
    }  # fmt: skip
    _, body = await api.post(SUBMIT, options)
    job = fake.new[body["job_id"]]
    assert (job.max_attempts, job.backoff_seconds, job.backoff_max_seconds) == (5, 0.5, 60)
    assert (list(job.depends_on), job.on_failure) == ([JOB, JOB, "stock"], "run")
    assert (job.unique_key, job.expires_in, job.delay_seconds) == ("k", 9, 3)
    _, body = await api.post(SUBMIT, {"job_type": "extraction"})
    job = fake.new[body["job_id"]]
    assert (job.max_attempts, job.backoff_seconds, job.backoff_max_seconds) == (2, 1.0, 300.0)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"global": 0}, "global"),
        ({"per_user": -1}, "per_user"),
        ({"per_user": 1.5}, "per_user"),
        ({"users": {"a b": 1}}, "users.a b.[key]"),
        ({"users": {"ann": 0}}, "users.ann"),
        ({"types": {"nonsense": 1}}, "types.nonsense"),
        ({"types": {"nonsense": None}}, "types.nonsense"),
        ({"types": {f"type-{n}": 1 for n in range(1001)}}, "types"),
        ({"users": {f"user-{n}": 1 for n in range(1001)}}, "users"),
        ({"types": {"extraction": "2"}}, "types.extraction"),
        ({"total": 5}, "total"),
    ],
)
async def test_api_Q7_Q12_limits_that_make_no_sense(api: Any, fake: FakeQueue, body: Any, field: str) -> None:
    status, answer, _ = await api.call("PATCH", "/api/v1/jobs/limits", json=body)
    assert (status, answer["error"]) == (400, "InvalidParameterError")
    assert ".".join(map(str, answer["details"][0]["loc"])) == field
    assert not fake.control.told


@pytest.mark.parametrize("body", [{"global": 0}, {"per_user": 0}, {"users": {"ann": 0}}, {"types": {"extraction": 0}}])
async def test_api_Q7_Q12_who_wants_no_limit_at_all_is_told_of_pauses(api: Any, body: Any) -> None:
    status, answer, _ = await api.call("PATCH", "/api/v1/jobs/limits", json=body)
    assert status == 400
    assert answer["details"][0]["msg"] == "must be at least 1; what shall not start at all is paused"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"user_id": "ann", "job_type": "extraction"}, "InvalidParameterError"),
        ({"user_id": "a b"}, "InvalidParameterError"),
        ({"job_type": "nonsense"}, "UnknownJobTypeError"),
        ({"queue": "default"}, "InvalidParameterError"),
    ],
)
async def test_api_Q6_Q12_pauses_that_make_no_sense(api: Any, fake: FakeQueue, body: Any, error: str) -> None:
    for verb in ("pause", "resume"):
        status, answer = await api.post(f"/api/v1/jobs/{verb}", body)
        assert (status, answer["error"]) == (400, error)
    assert not fake.control.told

"""Submit, status, result, cancel, restart over the fake queue."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import Any

import pytest
from document_examples import ALREADY_COMPLETED, CANCELLED, JOB, RESTARTED, STATUS, assert_same_shape
from fake_queue import CREATED, FakeQueue

from jobqueue import Settings
from jobqueue.states import FROM_RQ

UUID = JOB
STATES = {"pending", "running", "completed", "failed", "cancelled", "scheduled"}


async def test_api_B1_submit_answers_202_with_location(api: Any, fake: FakeQueue) -> None:
    status, body, response = await api.call("POST", "/api/v1/jobs/submit", json={"job_type": "extraction"})
    assert status == 202
    assert body == {"job_id": body["job_id"], "status": "pending", "message": "Job submitted"}
    assert response.headers["Location"] == f"/api/v1/jobs/status/{body['job_id']}"
    assert (await api.get(response.headers["Location"]))[1]["status"] == "pending"


async def test_submitted_job_reaches_the_queue_as_configured(api: Any, fake: FakeQueue) -> None:
    body = {
        "job_type": "extraction", "parameters": {"chunk_size": 7, "folder": "x", "pair": [1, 2]}, "user_id": "a@x.org",
        "priority": "high", "job_id": UUID.upper(), "timeout_seconds": 9, "scheduled_time": "2099-01-01T00:00:00+01:00",
    }  # fmt: skip
    assert (await api.post("/api/v1/jobs/submit", body))[1]["status"] == "scheduled"
    job = fake.new[UUID]
    assert job.function == "worker.rq_entry.run_job"
    assert job.args == ["extraction", {"chunk_size": 7, "folder": "x", "pair": [1, 2]}]
    assert (job.job_type, job.user_id, job.priority, job.queue) == ("extraction", "a@x.org", "high", "slow")
    assert (job.timeout_seconds, job.max_attempts, job.max_lost_attempts) == (9, 2, 4)
    assert (job.result_ttl, job.failure_ttl) == (86400, 7200)
    assert job.due == 4_070_905_200_000_000


async def test_api_B4_defaults(api: Any, fake: FakeQueue) -> None:
    nothing = dict.fromkeys(["user_id", "priority", "scheduled_time", "job_id", "timeout_seconds", "parameters"])
    _, body = await api.post("/api/v1/jobs/submit", {"job_type": "extraction", **nothing})
    job = fake.new[body["job_id"]]
    assert (job.user_id, job.priority, job.due, job.timeout_seconds) == ("default_user", "normal", None, 120)
    assert job.args == ["extraction", {}]


async def test_api_B2_ids(api: Any, fake: FakeQueue) -> None:
    ids = [(await api.post("/api/v1/jobs/submit", {"job_type": "extraction"}))[1]["job_id"] for _ in range(20)]
    assert len(set(ids)) == 20
    assert all(str(uuid.UUID(job_id, version=4)) == job_id for job_id in ids)

    mine = {"job_type": "extraction", "job_id": UUID, "parameters": {"chunk_size": 1}}
    first = await api.post("/api/v1/jobs/submit", mine)
    fake.change(UUID, "running")
    assert await api.post("/api/v1/jobs/submit", mine) == first
    status, body = await api.post("/api/v1/jobs/submit", {**mine, "parameters": {"chunk_size": 2}})
    assert (status, body["error"], body["job_id"]) == (409, "IdempotencyConflictError", UUID)


@pytest.mark.parametrize(
    ("when", "status"), [("2000-01-01T00:00:00Z", "pending"), ("2099-01-01T00:00:00", "scheduled")]
)
async def test_api_B6_scheduled_time(api: Any, fake: FakeQueue, when: str, status: str) -> None:
    _, body = await api.post("/api/v1/jobs/submit", {"job_type": "extraction", "scheduled_time": when})
    assert body["status"] == status
    assert body["message"] == ("Job scheduled" if status == "scheduled" else "Job submitted")
    assert (await api.get(f"/api/v1/jobs/status/{body['job_id']}"))[1]["scheduled_time"] == when.removesuffix("Z") + "Z"


@pytest.mark.parametrize(
    ("change", "loc"),
    [
        ({"job_type": 1}, ["job_type"]),
        ({"job_type": None}, ["job_type"]),
        ({"parameters": []}, ["parameters"]),
        ({"user_id": ""}, ["user_id"]),
        ({"user_id": "a b"}, ["user_id"]),
        ({"user_id": "a\n"}, ["user_id"]),
        ({"user_id": "a" * 65}, ["user_id"]),
        ({"priority": "soon"}, ["priority"]),
        ({"scheduled_time": "tomorrow"}, ["scheduled_time"]),
        ({"scheduled_time": 5}, ["scheduled_time"]),
        ({"job_id": "1"}, ["job_id"]),
        ({"job_id": "{550e8400-e29b-41d4-a716-446655440000}"}, ["job_id"]),
        ({"job_id": UUID + "\n"}, ["job_id"]),
        ({"timeout_seconds": 0}, ["timeout_seconds"]),
        ({"timeout_seconds": 2592001}, ["timeout_seconds"]),
        ({"timeout_seconds": 1.5}, ["timeout_seconds"]),
        ({"timeout_seconds": True}, ["timeout_seconds"]),
        ({"timeout_seconds": "5"}, ["timeout_seconds"]),
        ({"colour": "red"}, ["colour"]),
        ({"parameters": {"chunk_size": 0}}, ["parameters", "chunk_size"]),
        ({"parameters": {"chunk_size": "5"}}, ["parameters", "chunk_size"]),
        ({"parameters": {"chunk_sice": 5}}, ["parameters", "chunk_sice"]),
    ],
)
async def test_api_A4_bad_values_are_400_with_details(
    api: Any, fake: FakeQueue, change: dict[str, Any], loc: list[str]
) -> None:
    status, body = await api.post("/api/v1/jobs/submit", {"job_type": "extraction", **change})
    assert (status, body["error"]) == (400, "InvalidParameterError")
    assert loc in [detail["loc"] for detail in body["details"]]
    assert all(set(detail) == {"loc", "msg"} for detail in body["details"])
    assert ".".join(loc) in body["message"]
    assert not fake.new


async def test_all_mistakes_are_told_at_once(api: Any) -> None:
    _, body = await api.post("/api/v1/jobs/submit", {"priority": 1, "timeout_seconds": -1})
    assert {tuple(detail["loc"]) for detail in body["details"]} == {("job_type",), ("priority",), ("timeout_seconds",)}


async def test_a_body_with_endless_mistakes_gets_a_short_answer(api: Any) -> None:
    body = {"job_type": "extraction", **{f"{n:04}" + "x" * 200: 1 for n in range(1000)}}
    status, answer = await api.post("/api/v1/jobs/submit", body)
    assert status == 400 and len(answer["details"]) == 100
    assert max(len(detail["loc"][0]) for detail in answer["details"]) == 64


async def test_api_B3_unknown_type_lists_the_known(api: Any, api_settings: Settings) -> None:
    status, body = await api.post("/api/v1/jobs/submit", {"job_type": "<b>cooking\n"})
    assert (status, body["error"]) == (400, "UnknownJobTypeError")
    assert body["known_types"] == sorted(api_settings.job_types)
    assert "extraction" in body["message"] and "\n" not in body["message"]
    assert body["details"][0]["loc"] == ["job_type"]


async def test_inputs_are_checked_in_the_input_root(api: Any, api_settings: Settings) -> None:
    wish = {"job_type": "taxonomy_processing", "parameters": {"source": "a.txt"}}
    status, body = await api.post("/api/v1/jobs/submit", wish)
    assert (status, body["error"]) == (400, "InvalidParameterError")
    assert body["details"] == [{"loc": ["parameters", "source"], "msg": "a.txt not found"}]
    api_settings.storage.input_root.mkdir(parents=True)
    (api_settings.storage.input_root / "a.txt").touch()
    assert (await api.post("/api/v1/jobs/submit", wish))[0] == 202


async def test_api_C1_status_has_the_documents_shape(api: Any, fake: FakeQueue) -> None:
    fake.add(
        JOB,
        "running",
        progress=0.75,
        items_done=75,
        items_total=100,
        execution_seconds=45.2,
        started_at=CREATED + 5_999_999,
    )
    status, body = await api.get(f"/api/v1/jobs/status/{JOB}?refresh=true&colour=red")
    assert status == 200
    assert_same_shape(STATUS, body)
    assert {key: body[key] for key in STATUS} == STATUS


@pytest.mark.parametrize("state", sorted(STATES))
async def test_api_C1_every_field_is_there_in_every_state(api: Any, fake: FakeQueue, state: Any) -> None:
    fake.add(JOB, state)
    body = (await api.get(f"/api/v1/jobs/status/{JOB}"))[1]
    assert set(STATUS) <= set(body) and set(STATUS["metrics"]) <= set(body["metrics"])
    assert body["status"] == state


async def test_api_C4_terminal_fields(api: Any, fake: FakeQueue) -> None:
    fake.add("f", "failed", error="it broke", progress=0.5)
    fake.add("c", "completed", progress=1.0)
    fake.add("s", "scheduled")
    assert (await api.get("/api/v1/jobs/status/f"))[1]["error"] == "it broke"
    assert (await api.get("/api/v1/jobs/status/f"))[1]["completed_at"] == "2025-11-12T15:31:00Z"
    assert (await api.get("/api/v1/jobs/status/c"))[1]["progress"] == 1.0
    scheduled = (await api.get("/api/v1/jobs/status/s"))[1]
    assert scheduled["started_at"] is scheduled["completed_at"] is scheduled["error"] is None


@pytest.mark.parametrize("state", ["pending", "scheduled", "running"])
async def test_api_G1_cancel(api: Any, fake: FakeQueue, state: Any) -> None:
    fake.add(JOB, state)
    assert await api.post(f"/api/v1/jobs/cancel/{JOB}") == (200, CANCELLED)
    assert (await api.get(f"/api/v1/jobs/status/{JOB}"))[1]["status"] == "cancelled"
    again = await api.post(f"/api/v1/jobs/cancel/{JOB}")
    assert again == (200, {"job_id": JOB, "status": "cancelled", "message": "Job already cancelled"})


@pytest.mark.parametrize("state", ["completed", "failed"])
async def test_api_A3_G6_cancel_of_an_ended_job(api: Any, fake: FakeQueue, state: Any) -> None:
    fake.add(JOB, state)
    message = f"Cannot cancel job that is already {state}"
    expected = {**ALREADY_COMPLETED, "message": message, "current_status": state}
    assert await api.post(f"/api/v1/jobs/cancel/{JOB}") == (409, expected)


@pytest.mark.parametrize("state", ["failed", "cancelled"])
async def test_api_H1_restart(api: Any, fake: FakeQueue, state: Any) -> None:
    fake.add(JOB, state, error="broke")
    assert await api.post(f"/api/v1/jobs/restart/{JOB}") == (200, RESTARTED)
    body = (await api.get(f"/api/v1/jobs/status/{JOB}"))[1]
    assert (body["status"], body["restarts"], body["error"], body["completed_at"]) == ("pending", 1, None, None)
    assert fake.restarted[JOB] is None
    assert (await api.post(f"/api/v1/jobs/restart/{JOB}"))[0] == 409


async def test_api_H3_restart_with_fresh_parameters(api: Any, fake: FakeQueue) -> None:
    fake.add(JOB, "failed")
    path = f"/api/v1/jobs/restart/{JOB}"
    status, body = await api.post(path, {"parameters": {"chunk_size": 0}})
    assert (status, body["error"], body["job_id"]) == (400, "InvalidParameterError", JOB)
    assert body["details"][0]["loc"] == ["parameters", "chunk_size"]
    assert (await api.post(path, {"parametres": {}}))[1]["error"] == "InvalidParameterError"
    assert (await api.post(path, {"parameters": None}))[1]["error"] == "InvalidParameterError"
    assert (await api.post(path, {"parameters": {"chunk_size": 9}}))[0] == 200
    assert fake.restarted[JOB] == ["extraction", {"chunk_size": 9}]


@pytest.mark.parametrize("options", [{"data": b""}, {"json": {}}, {"headers": {"Content-Type": "text/plain"}}])
async def test_restart_without_content_keeps_the_parameters(api: Any, fake: FakeQueue, options: dict[str, Any]) -> None:
    fake.add(JOB, "cancelled")
    status, _, _ = await api.call("POST", f"/api/v1/jobs/restart/{JOB}", **options)
    assert status == 200 and fake.restarted[JOB] is None


async def test_restart_of_a_foreign_job_with_parameters_is_refused(api: Any, fake: FakeQueue) -> None:
    fake.add("stock", "failed", job_type="shop.mail.send")
    status, body = await api.post("/api/v1/jobs/restart/stock", {"parameters": {}})
    assert (status, body["error"]) == (400, "UnknownJobTypeError")


@pytest.mark.parametrize("state", ["pending", "running", "scheduled", "completed"])
async def test_api_H8_restart_against_the_state(api: Any, fake: FakeQueue, state: Any) -> None:
    fake.add(JOB, state)
    status, body = await api.post(f"/api/v1/jobs/restart/{JOB}")
    ended = state == "completed"
    assert (status, body["current_status"], body["job_id"]) == (409, state, JOB)
    assert body["error"] == ("JobAlreadyCompletedError" if ended else "JobNotRestartableError")
    assert body["message"].startswith("Cannot restart job that is")


async def test_result(api: Any, fake: FakeQueue) -> None:
    fake.add("r", "running")
    fake.add("c", "completed", result={"chunks": [1, "zwei"]})
    fake.add("f", "failed", error="broke")
    fake.add("x", "cancelled")
    status, body = await api.get("/api/v1/jobs/result/r")
    assert (status, body["error"], body["current_status"]) == (409, "JobNotFinishedError", "running")
    assert (await api.get("/api/v1/jobs/result/c")) == (
        200, {"job_id": "c", "status": "completed", "result": {"chunks": [1, "zwei"]}, "error": None},
    )  # fmt: skip
    assert (await api.get("/api/v1/jobs/result/f"))[1] == {
        "job_id": "f", "status": "failed", "result": None, "error": "broke",
    }  # fmt: skip
    assert (await api.get("/api/v1/jobs/result/x"))[1]["status"] == "cancelled"


async def test_api_C7_a_read_never_joins_one_sent_earlier(api: Any, fake: FakeQueue) -> None:
    """The first read is held up after it looked; the job changes; who asks then must see the change."""
    fake.add(JOB)
    held, release = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        if not held.is_set():
            held.set()
            await release.wait()

    fake.after_read = hold
    first = asyncio.ensure_future(api.get(f"/api/v1/jobs/status/{JOB}"))
    await held.wait()
    assert (await api.post(f"/api/v1/jobs/cancel/{JOB}"))[0] == 200
    assert (await api.get(f"/api/v1/jobs/status/{JOB}"))[1]["status"] == "cancelled"
    release.set()
    assert (await first)[1]["status"] == "pending"


async def test_api_C9_status_is_quick(api: Any, fake: FakeQueue) -> None:
    fake.add(JOB)
    started = time.perf_counter()
    for _ in range(50):
        await api.get(f"/api/v1/jobs/status/{JOB}")
    assert (time.perf_counter() - started) / 50 < 0.05


def test_api_C2_the_documents_status_words_are_ours() -> None:
    assert set(FROM_RQ.values()) == STATES

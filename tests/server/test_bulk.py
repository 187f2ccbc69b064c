"""Many jobs in one request: each is answered by itself, none stops another."""

from __future__ import annotations

import asyncio
import io
import json
import uuid
from typing import Any

import pytest
from document_examples import JOB, NOT_FOUND
from fake_queue import AWAY, CREATED, FakeQueue

from jobqueue import JobChange, Settings
from jobqueue.errors import QueueFull, QueueStarting
from server.handlers import bulk_change
from server.submission import check_all

SUBMIT = "/api/v1/jobs/submit/bulk"
GOOD = {"job_type": "extraction"}
JSON = {"Content-Type": "application/json"}
IDS = [str(uuid.UUID(int=n)) for n in range(8)]


async def test_submitted_jobs_are_answered_in_order(api: Any, fake: FakeQueue) -> None:
    later = {**GOOD, "scheduled_time": "2099-01-01T00:00:00Z", "user_id": "ann", "job_id": IDS[1]}
    status, body = await api.post(SUBMIT, {"jobs": [GOOD, later, GOOD]})
    assert (status, set(body), body["accepted"], body["rejected"]) == (202, {"results", "accepted", "rejected"}, 3, 0)
    first, second, third = body["results"]
    assert first == {"index": 0, "job_id": first["job_id"], "status": "pending", "message": "Job submitted"}
    assert second == {"index": 1, "job_id": IDS[1], "status": "scheduled", "message": "Job scheduled"}
    assert third["index"] == 2 and third["job_id"] not in (first["job_id"], IDS[1])
    assert list(fake.new) == [first["job_id"], IDS[1], third["job_id"]]
    assert fake.new[IDS[1]].user_id == "ann"
    for entry in body["results"]:
        assert (await api.get(f"/api/v1/jobs/status/{entry['job_id']}"))[1]["status"] == entry["status"]


BAD: list[tuple[Any, str, list[Any] | None]] = [
    (7, "InvalidParameterError", []),
    (None, "InvalidParameterError", []),
    ([], "InvalidParameterError", []),
    ({}, "InvalidParameterError", ["job_type"]),
    ({"job_type": "cooking"}, "UnknownJobTypeError", ["job_type"]),
    ({**GOOD, "colour": 1}, "InvalidParameterError", ["colour"]),
    ({**GOOD, "job_id": "x"}, "InvalidParameterError", ["job_id"]),
    ({**GOOD, "parameters": {"chunk_size": 0}}, "InvalidParameterError", ["parameters", "chunk_size"]),
    ({**GOOD, "parameters": {"source": "x" * 300_000}}, "PayloadTooLargeError", None),
    ({"job_type": "taxonomy_processing"}, "InvalidParameterError", ["parameters", "source"]),
    ({"job_type": "broken"}, "InternalServerError", None),
]


@pytest.mark.parametrize(("bad", "error", "loc"), BAD, ids=[str(bad)[:50] for bad, _, _ in BAD])
async def test_one_bad_job_stops_no_other(
    api: Any, fake: FakeQueue, bad: Any, error: str, loc: list[Any] | None
) -> None:
    status, body = await api.post(SUBMIT, {"jobs": [GOOD, bad, GOOD]})
    assert (status, body["accepted"], body["rejected"], len(fake.new)) == (202, 2, 1, 2)
    assert [entry["index"] for entry in body["results"]] == [0, 1, 2]
    entry = body["results"][1]
    assert entry["error"] == error and entry["message"] and "status" not in entry
    if loc is not None:
        assert entry["details"][0]["loc"] == loc
    assert [result["status"] for result in body["results"][::2]] == ["pending", "pending"]


async def test_a_taken_id_is_refused_and_a_repeated_job_answered(api: Any, fake: FakeQueue) -> None:
    mine = {**GOOD, "job_id": JOB}
    jobs = [mine, mine, {**mine, "priority": "high"}]
    status, body = await api.post(SUBMIT, {"jobs": jobs})
    assert (status, body["accepted"], body["rejected"]) == (202, 2, 1)
    assert [entry["job_id"] for entry in body["results"]] == [JOB] * 3
    assert body["results"][2]["error"] == "IdempotencyConflictError"
    again = await api.post(SUBMIT, {"jobs": jobs})
    assert again == (status, body) and len(fake.new) == 1


async def test_all_refused_is_400_with_the_reasons(api: Any, fake: FakeQueue) -> None:
    status, body = await api.post(SUBMIT, {"jobs": [{"job_type": "cooking"}, 7]})
    assert (status, body["error"]) == (400, "InvalidParameterError")
    assert (body["accepted"], body["rejected"]) == (0, 2)
    assert [entry["error"] for entry in body["results"]] == ["UnknownJobTypeError", "InvalidParameterError"]
    assert body["details"][0]["loc"] == ["jobs"] and "jobs" in body["message"]


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({}, ["jobs"]),
        ({"jobs": []}, ["jobs"]),
        ({"jobs": None}, ["jobs"]),
        ({"jobs": {"0": GOOD}}, ["jobs"]),
        ({"jobs": [GOOD] * 1001}, ["jobs"]),
        ({"jobs": [GOOD], "colour": 1}, ["colour"]),
    ],
)
async def test_a_wrong_frame_is_400(api: Any, fake: FakeQueue, body: Any, loc: list[Any]) -> None:
    status, answer = await api.post(SUBMIT, body)
    assert (status, answer["error"]) == (400, "InvalidParameterError")
    assert answer["details"][0]["loc"] == loc and "results" not in answer
    assert not fake.new


async def post_large(api: Any, path: str, text: bytes) -> tuple[int, Any]:
    status, body, _ = await api.call("POST", path, data=io.BytesIO(text), headers=JSON)
    return status, body


async def test_a_thousand_jobs_and_more_than_the_limit_of_other_bodies(api: Any, fake: FakeQueue) -> None:
    jobs = [{**GOOD, "parameters": {"source": "x" * 3000}} for _ in range(1000)]
    status, body = await post_large(api, SUBMIT, json.dumps({"jobs": jobs}).encode())
    assert (status, body["accepted"]) == (202, 1000)
    assert len({entry["job_id"] for entry in body["results"]}) == 1000
    assert [entry["index"] for entry in body["results"]] == list(range(1000))


async def test_api_A4_16_mebibytes_are_read_and_no_more(api: Any, fake: FakeQueue) -> None:
    text = json.dumps({"jobs": [GOOD]}).encode()
    fits = text + b" " * (16 * 1024 * 1024 - len(text))
    assert (await post_large(api, SUBMIT, fits))[0] == 202
    status, body = await post_large(api, SUBMIT, fits + b" ")
    assert (status, body["error"]) == (413, "PayloadTooLargeError")
    for path in ("/api/v1/jobs/submit", "/api/v1/jobs/cancel/bulk", "/api/v1/jobs/restart/bulk"):
        status, body = await post_large(api, path, b" " * (1024 * 1024 + 1))
        assert (status, body["error"]) == (413, "PayloadTooLargeError")


async def test_a_job_may_be_as_deep_as_one_submitted_alone(api: Any, fake: FakeQueue) -> None:
    """Depth is found in the frame before any model looks: a job that is too deep is told apart by its error."""
    for levels, error in ((30, "InvalidParameterError"), (31, "InvalidJsonError")):
        value: Any = 1
        for _ in range(levels):
            value = [value]
        job = {**GOOD, "parameters": {"chunk_size": value}}
        assert (await api.post("/api/v1/jobs/submit", job))[1]["error"] == error
        assert (await api.post(SUBMIT, {"jobs": [job]}))[1]["error"] == error


async def test_the_loop_goes_on_while_many_jobs_are_checked(api_settings: Settings) -> None:
    checking = asyncio.create_task(check_all(api_settings, [GOOD] * 1000), name="checking")
    turns = 0
    while not checking.done():
        await asyncio.sleep(0)
        turns += 1
    assert len(await checking) == 1000 and turns > 500


async def test_an_idempotency_key_is_refused_with_advice(api: Any, fake: FakeQueue) -> None:
    status, body = await api.post(SUBMIT, {"jobs": [GOOD]}, headers={"Idempotency-Key": "k"})
    assert (status, body["error"]) == (400, "InvalidParameterError")
    assert body["details"][0]["loc"] == ["Idempotency-Key"] and "job_id" in body["message"]
    assert not fake.new


@pytest.mark.parametrize("trouble", [AWAY, QueueStarting("loading"), QueueFull("OOM")], ids=type)
async def test_a_queue_that_goes_away_half_way(api: Any, fake: FakeQueue, trouble: Exception) -> None:
    count = 0

    async def go_away() -> None:
        nonlocal count
        count += 1
        if count == 3:
            fake.down = trouble

    fake.before_change = go_away
    jobs = [{**GOOD, "job_id": IDS[0]}, 7, GOOD, GOOD]
    status, body, response = await api.call("POST", SUBMIT, json={"jobs": jobs})
    assert (status, body["error"]) == (503, "QueueUnavailableError")
    assert "Retry-After" in response.headers and "secret" not in str(body)
    assert "may have been accepted" in body["message"] and "job_ids" in body["message"]
    assert body["job_ids"][:2] == [IDS[0], None] and None not in body["job_ids"][2:]
    fake.down, fake.before_change = None, None
    again = [{**job, "job_id": job_id} for job, job_id in zip(jobs, body["job_ids"], strict=True) if job_id]  # type: ignore[dict-item]
    status, answer = await api.post(SUBMIT, {"jobs": again})
    assert (status, answer["accepted"], len(fake.new)) == (202, 3, 3)


async def test_cancel_in_bulk(api: Any, fake: FakeQueue) -> None:
    fake.add("p")
    fake.add("r", "running")
    fake.add("x", "cancelled")
    fake.add("c", "completed")
    fake.add("bulk")
    status, body = await api.post(
        "/api/v1/jobs/cancel/bulk", {"job_ids": ["p", "r", "x", "c", JOB, "a b\n", "bulk", "p"]}
    )
    assert (status, set(body)) == (200, {"results", "changed", "rejected"})
    assert (body["changed"], body["rejected"]) == (3, 3)
    done, again = "Job cancelled successfully", "Job already cancelled"
    assert body["results"] == [
        {"job_id": "p", "status": "cancelled", "message": done},
        {"job_id": "r", "status": "cancelled", "message": done},
        {"job_id": "x", "status": "cancelled", "message": again},
        {
            "error": "JobAlreadyCompletedError",
            "message": "Cannot cancel job that is already completed",
            "job_id": "c",
            "current_status": "completed",
        },
        NOT_FOUND,
        {"error": "JobNotFoundError", "message": "Job a b not found", "job_id": "a b"},
        {"job_id": "bulk", "status": "cancelled", "message": done},
        {"job_id": "p", "status": "cancelled", "message": again},
    ]
    assert fake.bulks == [("p", "r", "x", "c", JOB, "bulk", "p")], "what cannot be an id never reaches the queue"


async def test_restart_in_bulk(api: Any, fake: FakeQueue) -> None:
    fake.add("f", "failed", error="x")
    fake.add("x", "cancelled")
    fake.add("c", "completed")
    fake.add("p")
    status, body = await api.post("/api/v1/jobs/restart/bulk", {"job_ids": ["f", "x", "c", "p", JOB, "f"]})
    assert (status, body["changed"], body["rejected"]) == (200, 2, 4)
    restarted = {"status": "pending", "message": "Job restarted and re-queued"}
    assert body["results"][:2] == [{"job_id": "f", **restarted}, {"job_id": "x", **restarted}]
    errors = [(entry["error"], entry.get("current_status")) for entry in body["results"][2:]]
    assert errors == [
        ("JobAlreadyCompletedError", "completed"),
        ("JobNotRestartableError", "pending"),
        ("JobNotFoundError", None),
        ("JobNotRestartableError", "pending"),
    ]
    assert fake.jobs["f"].restarts == 1


@pytest.mark.parametrize("verb", ["cancel", "restart"])
@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({}, ["job_ids"]),
        ({"job_ids": []}, ["job_ids"]),
        ({"job_ids": JOB}, ["job_ids"]),
        ({"job_ids": None}, ["job_ids"]),
        ({"job_ids": ["x"] * 1001}, ["job_ids"]),
        ({"job_ids": [JOB, 5]}, ["job_ids", 1]),
        ({"job_ids": [JOB, JOB, None]}, ["job_ids", 2]),
        ({"job_ids": [JOB], "force": True}, ["force"]),
    ],
)
async def test_wrong_lists_of_ids_are_400(api: Any, fake: FakeQueue, verb: str, body: Any, loc: list[Any]) -> None:
    fake.add(JOB)
    status, answer = await api.post(f"/api/v1/jobs/{verb}/bulk", body)
    assert (status, answer["error"]) == (400, "InvalidParameterError")
    assert answer["details"][0]["loc"] == loc
    assert ".".join(map(str, loc)) in answer["message"]
    assert fake.jobs[JOB].seq == 1 and not fake.bulks


async def test_a_thousand_ids_and_only_impossible_ones(api: Any, fake: FakeQueue) -> None:
    status, body = await api.post("/api/v1/jobs/cancel/bulk", {"job_ids": [f"j{n}" for n in range(1000)]})
    assert (status, body["changed"], body["rejected"]) == (200, 0, 1000)
    status, body = await api.post("/api/v1/jobs/restart/bulk", {"job_ids": ["a:b", "", "é"]})
    assert (status, body["changed"], body["rejected"]) == (200, 0, 3)


async def test_a_queue_away_says_what_may_have_happened(api: Any, fake: FakeQueue) -> None:
    fake.down = AWAY
    for verb in ("cancel", "restart"):
        status, body, response = await api.call("POST", f"/api/v1/jobs/{verb}/bulk", json={"job_ids": [JOB]})
        assert (status, body["message"]) == (503, bulk_change.CHANGED_IN_PART)
        assert "Retry-After" in response.headers


@pytest.mark.parametrize("failing", ["page", "change"])
async def test_api_Q8_a_queue_away_half_way_says_what_was_done(api: Any, fake: FakeQueue, failing: str) -> None:
    for n in range(700):
        fake.add(f"job-{n}", created_at=CREATED + n)
    calls = 0

    async def fail_later() -> None:
        nonlocal calls
        calls += 1
        if failing == "change" and calls == 551:
            raise AWAY

    def fail_after_a_page(change: JobChange) -> None:
        if failing == "page" and sum(job.state == "cancelled" for job in fake.jobs.values()) == 500:
            fake.down = AWAY

    fake.before_change = fail_later
    fake.events.on_change(fail_after_a_page)
    wish = {"filter": {"user": "default_user"}}
    status, body, response = await api.call("POST", "/api/v1/jobs/cancel/bulk", json=wish)
    assert (status, body["error"], body["message"]) == (503, "QueueUnavailableError", bulk_change.CHANGED_IN_PART)
    assert "Retry-After" in response.headers
    matched = 500 if failing == "page" else 700
    assert (body["matched"], body["changed"], body["rejected"]) == (matched, 500, 0)
    fake.before_change, fake.down, failing = None, None, ""
    status, body = await api.post("/api/v1/jobs/cancel/bulk", wish)
    done = 500 if matched == 500 else 550
    assert (status, body["matched"], body["changed"]) == (200, 700 - done, 700 - done)


async def test_api_Q8_one_request_changes_some_ten_thousand_and_says_where_to_go_on(
    api: Any, fake: FakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_change, "MOST_CHANGED", 1000)
    for n in range(1200):
        fake.add(f"job-{n}", created_at=CREATED + n)
    wish = {"filter": {"user": "default_user"}}
    _, first = await api.post("/api/v1/jobs/cancel/bulk", wish)
    assert (first["changed"], fake.jobs["job-200"].state, fake.jobs["job-199"].state) == (1000, "cancelled", "pending")
    _, second = await api.post("/api/v1/jobs/cancel/bulk", {**wish, "cursor": first["next_cursor"]})
    assert (second["changed"], second["next_cursor"]) == (200, None)
    assert max(map(len, fake.bulks)) <= bulk_change.AT_ONCE


async def test_a_bulk_goes_through_although_the_client_hangs_up(api: Any, fake: FakeQueue) -> None:
    fake.add(JOB)
    began, go_on, changed = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        began.set()
        await go_on.wait()

    fake.before_change = hold
    fake.events.on_change(lambda _: changed.set())
    call = asyncio.ensure_future(api.post("/api/v1/jobs/cancel/bulk", {"job_ids": [JOB]}))
    await began.wait()
    call.cancel()
    go_on.set()
    async with asyncio.timeout(5):
        await changed.wait()
    assert fake.jobs[JOB].state == "cancelled"

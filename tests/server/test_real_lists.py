"""Lists, bulk requests and idempotency keys over the real library."""

from __future__ import annotations

import asyncio
from typing import Any

from working_hand import SUBMIT, WorkingHand, get, submit

from jobqueue import Failed

BULK = "/api/v1/jobs/submit/bulk"
JOB = {"job_type": "extraction"}


async def listed(api: Any, query: str = "") -> list[str]:
    """All pages."""
    found: list[str] = []
    cursor = ""
    for _ in range(200):
        status, body = await api.get(f"/api/v1/jobs?{query}&cursor={cursor}")
        assert status == 200, body
        found += [job["job_id"] for job in body["jobs"]]
        cursor = body["next_cursor"]
        if cursor is None:
            return found
    raise AssertionError("the list does not end")


async def test_bulk_then_pages_then_filters(real: Any, worker: WorkingHand) -> None:
    jobs = [{**JOB, "user_id": f"u{n % 3}", "timeout_seconds": 60 + n // 100} for n in range(620)]
    status, body = await real.post(BULK, {"jobs": [*jobs, {"job_type": "cooking"}]})
    assert (status, body["accepted"], body["rejected"]) == (202, 620, 1)
    newest_first = [entry["job_id"] for entry in reversed(body["results"][:620])]
    assert await listed(real, "limit=100") == newest_first
    assert await listed(real, "user=u1&limit=500") == [i for n, i in enumerate(newest_first) if (619 - n) % 3 == 1]
    claimed = await worker.claim()
    assert await listed(real, "status=running") == [claimed.job_id]
    assert await listed(real, "status=running,pending&type=extraction&limit=37") == newest_first
    assert await listed(real, "type=cooking") == []
    await worker.finish(claimed, Failed("x", permanent=True))
    assert await listed(real, "status=failed&user=" + claimed.user_id) == [claimed.job_id]
    status, body = await real.get("/api/v1/jobs?limit=2&cursor=1fffffffffffff")
    assert (status, [job["job_id"] for job in body["jobs"]]) == (200, newest_first[:2])
    assert body["jobs"][0] == await get(real, newest_first[0])


async def test_the_same_bulk_again_makes_nothing_new(real: Any) -> None:
    jobs = [{**JOB, "job_id": f"00000000-0000-4000-8000-{n:012}"} for n in range(250)]
    first = await real.post(BULK, {"jobs": jobs})
    assert first[1]["accepted"] == 250
    assert await real.post(BULK, {"jobs": jobs}) == first
    assert (await real.get("/api/v1/jobs/queue/stats"))[1]["total_jobs"] == 250


async def test_cancel_and_restart_in_bulk(real: Any) -> None:
    ids = [await submit(real) for _ in range(4)]
    status, body = await real.post("/api/v1/jobs/cancel/bulk", {"job_ids": [*ids, ids[0], "unknown", "a:b"]})
    assert (status, body["changed"], body["rejected"]) == (200, 4, 2)
    assert [entry["status"] for entry in body["results"][:5]] == ["cancelled"] * 5
    assert body["results"][4]["message"] == "Job already cancelled"
    status, body = await real.post("/api/v1/jobs/restart/bulk", {"job_ids": [*ids[:2], ids[0]]})
    assert (status, body["changed"], body["rejected"]) == (200, 2, 1)
    assert body["results"][2]["current_status"] == "pending"
    assert {(await get(real, job_id))["status"] for job_id in ids[2:]} == {"cancelled"}


async def test_an_idempotency_key_over_two_requests_and_at_once(real: Any) -> None:
    async def ask(key: str, **body: Any) -> tuple[int, Any, str | None]:
        headers = {"Idempotency-Key": key}
        status, answer, response = await real.call("POST", SUBMIT, json={**JOB, **body}, headers=headers)
        return status, answer, response.headers.get("Location")

    answers = await asyncio.gather(*(ask("k") for _ in range(10)))
    assert all(answer == answers[0] for answer in answers)
    first = answers[0][1]["job_id"]
    assert answers[0][2] == f"/api/v1/jobs/status/{first}"
    await real.post(f"/api/v1/jobs/cancel/{first}")
    assert await ask("k") == answers[0]
    status, body, _ = await ask("k", priority="high")
    assert (status, body["error"]) == (422, "IdempotencyConflictError")
    assert (await ask("k", user_id="ann"))[1]["job_id"] != first, "keys of users are apart"
    assert (await ask("~" * 255))[0] == 202
    assert (await real.get("/api/v1/jobs/queue/stats"))[1]["total_jobs"] == 3

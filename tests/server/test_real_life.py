"""What happens when things do not go straight, through HTTP over the real library, statements Q."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from conftest import ValkeyServer, eventually
from test_poll import watched_by
from working_hand import SUBMIT, WorkingHand, get, submit

from jobqueue import Completed, Failed

JOBS = "/api/v1/jobs"


async def waiting(api: Any, job_id: str) -> dict[str, Any]:
    seen = (await get(api, job_id))["waiting"]
    assert seen is not None
    return dict(seen)


async def post(api: Any, path: str, body: Any = None) -> dict[str, Any]:
    status, answer = await api.post(f"{JOBS}{path}", body)
    assert status == 200, answer
    return dict(answer)


async def run_one(worker: WorkingHand) -> str:
    claimed = await worker.claim()
    await worker.finish(claimed, Completed())
    return claimed.job_id


async def test_api_Q1_Q10_a_retry_waits_with_its_reason_and_every_attempt_is_kept(
    real: Any, worker: WorkingHand, valkey: ValkeyServer
) -> None:
    job_id = await submit(real, max_attempts=2, backoff_seconds=100, backoff_max_seconds=100)
    await worker.finish(await worker.claim(), Failed("ValueError: the endpoint was down"))
    seen = await get(real, job_id)
    assert (seen["status"], seen["attempt"], seen["max_attempts"], seen["retries_left"]) == ("pending", 1, 2, 0)
    assert seen["waiting"]["reason"] == "retry_backoff" and 70 < seen["waiting"]["eta_seconds"] <= 125
    valkey.client.zadd("rq:scheduled:default", {job_id: 1})
    await worker.queue.namespace.run("promote_due", {"interval": 0, "batch": 500})
    await worker.finish(await worker.claim(), Failed("ValueError: again"))
    assert (await get(real, job_id))["status"] == "failed"
    assert (await real.post(f"{JOBS}/restart/{job_id}"))[0] == 200
    await run_one(worker)
    attempts = (await get(real, job_id))["attempts"]
    assert [(a["run"], a["attempt"], a["outcome"], a["error"]) for a in attempts] == [
        (0, 1, "failed", "ValueError: the endpoint was down"),
        (0, 2, "failed", "ValueError: again"),
        (1, 1, "completed", None),
    ]
    assert all(a["worker"] == worker.queue.name and a["started_at"] <= a["ended_at"] for a in attempts)


async def test_api_Q2_a_delay(real: Any, worker: WorkingHand) -> None:
    job_id = str(uuid.uuid4())
    for _ in range(2):
        status, body = await real.post(SUBMIT, {"job_type": "extraction", "job_id": job_id, "delay_seconds": 50})
        assert (status, body["status"], body["message"]) == (202, "scheduled", "Job scheduled")
    assert 45 < (await waiting(real, job_id))["eta_seconds"] <= 50
    soon = await submit(real, delay_seconds=0.05)

    async def has_become_pending() -> bool:
        return bool((await get(real, soon))["status"] == "pending")

    await eventually(has_become_pending, "the delayed job is due", 5)
    await run_one(worker)


async def test_api_Q3_a_diamond(real: Any, worker: WorkingHand) -> None:
    top = await submit(real)
    left, right = await submit(real, depends_on=[top]), await submit(real, depends_on=[top])
    bottom = await submit(real, depends_on=[left, right])
    seen = await get(real, bottom)
    assert (seen["status"], seen["depends_on"], seen["on_failure"]) == ("pending", [left, right], "cancel")
    assert seen["waiting"] == {
        "reason": "dependency", "detail": f"waits for {left}, {right}", "ahead_own": None, "position": None,
        "eta_seconds": None,
    } or seen["waiting"]["detail"] == f"waits for {right}, {left}"  # fmt: skip
    assert (await get(real, top))["dependents"] == [left, right]
    assert await run_one(worker) == top
    assert {await run_one(worker), await run_one(worker)} == {left, right}
    assert await run_one(worker) == bottom
    assert await worker.claim_many() == []


@pytest.mark.parametrize("end", ["failed", "cancelled"])
async def test_api_Q3_the_policies(real: Any, worker: WorkingHand, end: str) -> None:
    parent = await submit(real)
    strict = await submit(real, depends_on=[parent])
    below = await submit(real, depends_on=[strict])
    loose = await submit(real, depends_on=[parent], on_failure="run")
    if end == "failed":
        await worker.finish(await worker.claim(), Failed("it broke"))
    else:
        assert (await real.post(f"{JOBS}/cancel/{parent}"))[0] == 200
    seen = await get(real, strict)
    assert (seen["status"], seen["error"]) == ("cancelled", None)
    assert seen["reason"] == f"job {parent}, which it depends on, is {end}"
    assert (await get(real, below))["reason"] == f"job {strict}, which it depends on, is cancelled"
    assert await run_one(worker) == loose
    status, body = await real.post(f"{JOBS}/restart/{strict}")
    assert (status, body["error"], body["dependency"]) == (409, "DependencyEndedError", parent)
    late = await real.post(SUBMIT, {"job_type": "extraction", "depends_on": [parent]})
    assert (late[0], late[1]["status"]) == (202, "cancelled")
    assert (await real.post(f"{JOBS}/restart/{parent}"))[0] == 200
    assert (await real.post(f"{JOBS}/restart/{strict}"))[0] == 200
    assert (await waiting(real, strict))["reason"] == "dependency"
    assert [await run_one(worker), await run_one(worker)] == [parent, strict]


async def test_api_Q3_Q12_unknown_and_foreign_jobs_cannot_be_waited_for(real: Any, worker: WorkingHand) -> None:
    foreign = await submit(real, user_id="bob")
    own = await submit(real, user_id="ann")
    for other in (foreign, str(uuid.uuid4())):
        body = {"job_type": "extraction", "user_id": "ann", "depends_on": [own, other]}
        status, answer = await real.post(SUBMIT, body)
        assert (status, answer["error"]) == (400, "InvalidParameterError")
        assert answer["details"] == [{"loc": ["depends_on", 1], "msg": f"there is no job {other}"}]
    assert (await worker.queue.inspector.stats()).counts["pending"] == 2
    await worker.finish_all()


async def test_api_Q3_a_chain_in_one_body(real: Any, worker: WorkingHand) -> None:
    ids = [str(uuid.uuid4()) for _ in range(4)]
    chain = [{"job_type": "extraction", "job_id": job_id} for job_id in ids]
    for before, job in zip(ids, chain[1:], strict=False):
        job["depends_on"] = [before]  # type: ignore[assignment]
    status, body = await real.post(f"{SUBMIT}/bulk", {"jobs": chain})
    assert (status, body["accepted"]) == (202, 4)
    assert [await run_one(worker) for _ in ids] == ids


async def test_api_Q3_Q12_cycles_in_one_body_are_refused(real: Any, worker: WorkingHand) -> None:
    one, two, three, free = (str(uuid.uuid4()) for _ in range(4))
    kind = {"job_type": "extraction"}
    jobs = [
        {**kind, "job_id": one, "depends_on": [two]},
        {**kind, "job_id": two, "depends_on": [one]},
        {**kind, "job_id": three, "depends_on": [free]},
        {**kind, "job_id": free},
    ]
    status, body = await real.post(f"{SUBMIT}/bulk", {"jobs": jobs})
    assert (status, body["accepted"], body["rejected"]) == (202, 1, 3)
    assert "is a cycle" in body["results"][0]["message"]
    assert f"there is no job {one}" in body["results"][1]["message"]
    assert "comes later" in body["results"][2]["message"]
    assert await run_one(worker) == free


async def test_api_Q4_one_live_job_for_a_key(real: Any, worker: WorkingHand) -> None:
    first = await submit(real, unique_key="document-17")
    body = {"job_type": "extraction", "unique_key": "document-17"}
    answers = await asyncio.gather(*(real.post(SUBMIT, body) for _ in range(5)))
    assert {(status, answer["job_id"], answer["message"]) for status, answer in answers} == {
        (202, first, "A live job has this unique_key")
    }
    claimed = await worker.claim()
    assert (await real.post(SUBMIT, body))[1]["status"] == "running"
    await worker.finish(claimed, Failed("it broke"))
    second = (await real.post(SUBMIT, body))[1]["job_id"]
    assert second != first
    status, answer = await real.post(f"{JOBS}/restart/{first}")
    assert (status, answer["error"], answer["live_job_id"]) == (409, "UniqueKeyTakenError", second)
    await run_one(worker)


async def test_api_Q5_not_started_in_time(real: Any, worker: WorkingHand, valkey: ValkeyServer) -> None:
    job_id = await submit(real, expires_in=1000)
    child = await submit(real, depends_on=[job_id])
    valkey.client.zadd("rq:x:deadlines", {job_id: 1})
    assert await worker.claim_many() == [], "no tick has come by, and yet it does not start"
    seen = await get(real, job_id)
    assert (seen["status"], seen["reason"]) == ("cancelled", "expired: it was not started in time")
    assert (await get(real, child))["status"] == "cancelled"


@pytest.mark.parametrize("target", [{}, {"user_id": "ann"}, {"job_type": "extraction"}])
async def test_api_Q6_pause_and_resume(real: Any, worker: WorkingHand, target: dict[str, str]) -> None:
    job_id = await submit(real, user_id="ann")
    first = await post(real, "/pause", target)
    paused = {
        "queue": not target, "users": ["ann"] if "user_id" in target else [],
        "types": ["extraction"] if "job_type" in target else [],
    }  # fmt: skip
    assert first == {"paused": paused, "changed": True}
    assert (await post(real, "/pause", target))["changed"] is False
    assert (await real.get(f"{JOBS}/limits"))[1]["paused"] == paused
    assert await worker.claim_many() == []
    seen = await waiting(real, job_id)
    assert (seen["reason"], seen["eta_seconds"]) == ("paused", None) and "paused" in seen["detail"]
    assert (await post(real, "/resume", target))["paused"] == {"queue": False, "users": [], "types": []}
    assert await run_one(worker) == job_id


async def test_api_Q7_limits(real: Any, worker: WorkingHand) -> None:
    for user in ("ann", "bob"):
        for _ in range(4):
            await submit(real, user_id=user)
    body = {"global": 50, "per_user": 2, "users": {"bob": 1}, "types": {"extraction": 2}}
    status, seen = await patch(real, body)
    assert status == 200
    assert {name: seen[name] for name in body} == body and seen["global_is_set"] and seen["per_user_is_set"]
    assert len(await worker.claim_many()) == 2
    blocked = [job for job in (await real.get(JOBS + "?status=pending"))[1]["jobs"] if job["user_id"] == "ann"]
    assert {job["waiting"]["reason"] for job in blocked} <= {"type_limit", "user_limit"}
    status, seen = await patch(real, {"types": {"extraction": None}, "users": {"bob": None}})
    assert (seen["types"], seen["users"], seen["global"]) == ({}, {}, 50)
    assert len(await worker.claim_many()) == 2, "two for each user now, one of each runs already or two of ann's"
    status, seen = await patch(real, {"global": None, "per_user": None})
    assert (seen["global"], seen["per_user"], seen["global_is_set"]) == (10, 3, False)


async def patch(api: Any, body: Any) -> tuple[int, Any]:
    status, answer, _ = await api.call("PATCH", f"{JOBS}/limits", json=body)
    return status, answer


async def test_api_Q8_by_filter(real: Any, worker: WorkingHand) -> None:
    mine = [await submit(real, user_id="ann") for _ in range(7)]
    other = await submit(real, user_id="bob")
    running = (await worker.claim_many(1))[0]
    wish = {"filter": {"user": "ann", "status": "pending"}}
    answer = await post(real, "/cancel/bulk", {**wish, "dry_run": True})
    assert answer == {"matched": 6, "changed": 0, "rejected": 0, "dry_run": True, "next_cursor": None}
    assert (await get(real, mine[6]))["status"] == "pending"
    assert (await post(real, "/cancel/bulk", wish))["changed"] == 6
    assert (await get(real, other))["status"] == "pending"
    assert (await get(real, running.job_id))["status"] == "running"
    assert (await post(real, "/restart/bulk", {"filter": {"user": "ann"}}))["changed"] == 6
    everything = await post(real, "/cancel/bulk", {"filter": {"type": "extraction"}})
    assert (everything["matched"], everything["changed"]) == (8, 8)
    assert await worker.verdict(running, Completed()) == "cancelled"


async def test_api_Q8_more_than_a_page(real: Any, worker: WorkingHand) -> None:
    jobs = [{"job_type": "extraction", "user_id": "ann"} for _ in range(1000)]
    for _ in range(2):
        assert (await real.post(f"{SUBMIT}/bulk", {"jobs": jobs[:600]}))[1]["accepted"] == 600
    answer = await post(real, "/cancel/bulk", {"filter": {"user": "ann"}})
    assert (answer["matched"], answer["changed"], answer["next_cursor"]) == (1200, 1200, None)
    assert (await worker.queue.inspector.stats()).counts["cancelled"] == 1200


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "job_ids"),
        ({"filter": {}}, "filter"),
        ({"filter": {"status": ""}}, "filter"),
        ({"job_ids": ["a"], "filter": {"user": "ann"}}, "job_ids"),
        ({"filter": {"status": "completed"}}, "filter.status"),
        ({"filter": {"status": "nonsense"}}, "status"),
        ({"filter": {"user": "a b"}}, "user"),
        ({"filter": {"colour": "red"}}, "filter.colour"),
        ({"job_ids": ["a"], "dry_run": True}, "dry_run"),
        ({"filter": {"user": "ann"}, "dry_run": "yes"}, "dry_run"),
        ({"filter": {"user": "ann"}, "cursor": "xyz"}, "cursor"),
    ],
)
async def test_api_Q8_Q12_a_filter_that_makes_no_sense(api: Any, body: dict[str, Any], field: str) -> None:
    status, answer = await api.post(f"{JOBS}/cancel/bulk", body)
    assert status == 400
    assert ".".join(map(str, answer["details"][0]["loc"])) == field


async def test_api_Q9_delete(real: Any, worker: WorkingHand) -> None:
    job_id = await submit(real)
    status, body, _ = await real.call("DELETE", f"{JOBS}/status/{job_id}")
    assert (status, body["error"], body["current_status"]) == (409, "JobNotFinishedError", "pending")
    claimed = await worker.claim()
    assert (await real.post(f"{JOBS}/cancel/{job_id}"))[0] == 200
    status, body, _ = await real.call("DELETE", f"{JOBS}/status/{job_id}")
    assert status == 409 and "still stops" in body["message"]
    assert await worker.verdict(claimed, Completed()) == "cancelled"
    poll = asyncio.ensure_future(real.get(f"{JOBS}/status/{job_id}/poll?current_status=cancelled&timeout=30"))
    await watched_by(real, 1)
    status, body, _ = await real.call("DELETE", f"{JOBS}/status/{job_id}")
    assert (status, body) == (200, {"job_id": job_id, "message": "Job deleted"})
    assert (await asyncio.wait_for(poll, 2))[0] == 404
    assert (await real.get(f"{JOBS}/status/{job_id}"))[0] == 404
    assert (await real.call("DELETE", f"{JOBS}/status/{job_id}"))[0] == 404


async def test_api_Q9_Q10_a_stream_tells_why_it_waits_and_ends_when_the_job_is_deleted(
    real: Any, worker: WorkingHand, valkey: ValkeyServer
) -> None:
    job_id = await submit(real, max_attempts=2)
    async with real.stream(job_id) as events:
        first = await events.event()
        assert first.data["waiting"]["reason"] == "behind_others"
        claimed = await worker.claim()
        running = await events.event()
        assert running.data["status"] == "running" and "waiting" not in running.data
        await worker.finish(claimed, Failed("it broke"))
        again = await events.event()
        assert (again.data["status"], again.data["waiting"]["reason"]) == ("pending", "retry_backoff")
        # By hand: through the API nothing is deleted that has not ended.
        valkey.client.publish(
            "rq:x:events", f'{{"n":{int(again.id or 0) + 1},"t":1,"jobs":[["{job_id}","deleted",1,0,"","u","t"]]}}'
        )
        assert await asyncio.wait_for(events.rest(), 2) == []
    assert (await real.post(f"{JOBS}/cancel/{job_id}"))[0] == 200


async def test_api_Q10_why_it_waits_is_in_the_list_too(real: Any, worker: WorkingHand) -> None:
    ids = [await submit(real, user_id="ann") for _ in range(5)]
    running = await worker.claim_many(10)
    assert len(running) == 3
    jobs = (await real.get(f"{JOBS}?user=ann"))[1]["jobs"]
    seen = {job["job_id"]: job["waiting"] for job in jobs}
    assert [seen[job_id] is None for job_id in ids] == [True, True, True, False, False]
    assert (seen[ids[4]]["reason"], seen[ids[4]]["ahead_own"], seen[ids[4]]["position"]) == ("user_limit", 1, 2)
    for job in running:
        await worker.finish(job, Completed())
    await worker.finish_all()


async def test_api_Q11_drain(real: Any, worker: WorkingHand) -> None:
    job_id = await submit(real)
    status, body = await real.post(f"{JOBS}/workers/{worker.queue.name}/drain")
    assert (status, body["worker"]) == (202, worker.queue.name)
    assert await worker.claim_many() == []
    assert [w["draining"] for w in (await real.get(f"{JOBS}/queue/stats"))[1]["workers"]] == [True]
    for name in ("nobody", "x" * 256, "%00"):
        assert (await real.post(f"{JOBS}/workers/{name}/drain"))[0] == 404
    assert (await real.post(f"{JOBS}/cancel/{job_id}"))[0] == 200

"""Cancel and restart over the real library, statements G and H."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from conftest import ValkeyServer
from test_poll import watched_by
from working_hand import WorkingHand, get, submit

from jobqueue import Completed, Failed, Stopped

STATS = "/api/v1/jobs/queue/stats"


async def cancel(api: Any, job_id: str) -> tuple[int, Any]:
    status, body = await api.post(f"/api/v1/jobs/cancel/{job_id}")
    return status, body


async def restart(api: Any, job_id: str, body: Any = None) -> tuple[int, Any]:
    status, answer = await api.post(f"/api/v1/jobs/restart/{job_id}", body)
    return status, answer


async def fail(worker: WorkingHand) -> None:
    await worker.finish(await worker.claim(), Failed("it broke", permanent=True))


async def test_api_G1_a_waiting_job_that_was_cancelled_never_runs(real: Any, worker: WorkingHand) -> None:
    waiting, scheduled = await submit(real), await submit(real, scheduled_time="2099-01-01T00:00:00Z")
    for job_id in (waiting, scheduled):
        assert (await cancel(real, job_id))[0] == 200
    await worker.queue.maintenance.tick()
    assert await worker.claim_many() == []
    assert {(await get(real, job_id))["status"] for job_id in (waiting, scheduled)} == {"cancelled"}


async def test_api_G1_cancel_races_with_claims(real: Any, worker: WorkingHand) -> None:
    """Whoever is first: a job that was cancelled before its claim is not claimed, and the other way it stops."""
    for _ in range(20):
        job_id = await submit(real)
        (status, _), claimed = await asyncio.gather(cancel(real, job_id), worker.claim_many())
        assert status == 200 and (await get(real, job_id))["status"] == "cancelled"
        for job in claimed:
            assert await worker.verdict(job, Stopped()) == "cancelled"
        assert await worker.claim_many() == []


async def test_api_G3_the_slot_is_free_when_the_execution_has_stopped(real: Any, worker: WorkingHand) -> None:
    await worker.queue.control.set_limits(total=1, per_user=1)
    first, second = await submit(real), await submit(real)
    running = await worker.claim()
    assert (await cancel(real, first))[0] == 200
    assert (await get(real, first))["status"] == "cancelled"
    assert await worker.claim_many() == [], "it still runs on its machine"
    assert await worker.verdict(running, Stopped()) == "cancelled"
    (following,) = await worker.claim_many()
    assert following.job_id == second
    await worker.finish(following, Completed())


@pytest.mark.parametrize("outcome", [Completed({"late": 1}), Failed("late"), Stopped()], ids=lambda o: type(o).__name__)
async def test_api_G4_what_comes_late_changes_nothing(real: Any, worker: WorkingHand, outcome: Any) -> None:
    job_id = await submit(real)
    running = await worker.claim()
    await worker.progress(running, 0.25, "early")
    await cancel(real, job_id)
    before = await get(real, job_id)
    counts = {key: value for key, value in (await real.get(STATS))[1].items() if key.endswith("_jobs")}
    assert not await worker.late_progress(running, 0.9)
    assert await worker.verdict(running, outcome) == "cancelled"
    assert not await worker.late_progress(running, 0.9)
    assert await get(real, job_id) == before
    assert (await real.get(f"/api/v1/jobs/result/{job_id}"))[1]["result"] is None
    assert counts == {key: value for key, value in (await real.get(STATS))[1].items() if key.endswith("_jobs")}


async def test_api_G5_cancel_or_completion_wins_and_all_agree(real: Any, worker: WorkingHand) -> None:
    for round_number in range(20):
        job_id = await submit(real)
        running = await worker.claim()
        finishing = asyncio.create_task(worker.verdict(running, Completed(1)), name="finish")
        for _ in range(round_number % 4 * 20):
            await asyncio.sleep(0)
        status, _ = await cancel(real, job_id)
        verdict = await finishing
        body = await get(real, job_id)
        assert (status, verdict, body["status"]) in ((200, "cancelled", "cancelled"), (409, "ok", "completed"))
        assert await worker.verdict(running, Completed(1)) == verdict
        assert await get(real, job_id) == body


async def test_api_G7_watchers_wake_and_counts_move_by_one(real: Any, worker: WorkingHand) -> None:
    job_id = await submit(real)
    before = (await real.get(STATS))[1]
    async with real.stream(job_id) as events:
        await events.event()
        poll = asyncio.ensure_future(real.get(f"/api/v1/jobs/status/{job_id}/poll?current_status=pending"))
        await watched_by(real, 2)
        await cancel(real, job_id)
        async with asyncio.timeout(5):
            assert (await poll)[1]["status"] == "cancelled"
            last = await events.event()
    assert (last.name, last.data["status"]) == ("job_complete", "cancelled")
    body = await get(real, job_id)
    assert body["completed_at"] is not None and body["completed_at"] >= body["created_at"]
    after = (await real.get(STATS))[1]
    moved = {key: after[key] - before[key] for key in before if key.endswith("_jobs") and after[key] != before[key]}
    assert moved == {"pending_jobs": -1, "cancelled_jobs": 1}
    assert after["total_jobs"] == before["total_jobs"]


async def test_api_G8_no_worker_is_needed(real: Any) -> None:
    job_id = await submit(real)
    assert (await real.get(STATS))[1]["active_workers"] == 0
    assert (await cancel(real, job_id))[0] == 200
    assert (await get(real, job_id))["status"] == "cancelled"


async def test_api_G8_a_worker_that_is_gone_is_not_asked(real: Any, worker: WorkingHand, valkey: ValkeyServer) -> None:
    job_id = await submit(real)
    running = await worker.claim()
    valkey.client.hset("rq:x:worker:test", "beat", 1)
    assert (await cancel(real, job_id))[0] == 200
    assert (await get(real, job_id))["status"] == "cancelled"
    await worker.verdict(running, Stopped())


async def test_api_H2_everything_is_fresh(real: Any, worker: WorkingHand) -> None:
    job_id = await submit(real)
    running = await worker.claim()
    await worker.progress(running, 0.5, "half")
    await worker.finish(running, Failed("it broke", permanent=True))
    failed = await get(real, job_id)
    assert (failed["progress"], failed["attempt"], failed["error"]) == (0.5, 1, "it broke")
    assert (await restart(real, job_id))[0] == 200
    body = await get(real, job_id)
    fresh = {
        "status": "pending", "progress": 0.0, "started_at": None, "completed_at": None, "error": None, "attempt": 0,
        "restarts": 1, "current_step": None, "created_at": failed["created_at"],
        "metrics": {"execution_time_seconds": 0.0, "items_processed": 0, "total_items": 0},
    }  # fmt: skip
    assert {key: body[key] for key in fresh} == fresh
    again = await worker.claim()
    assert (again.attempt, again.failures) == (1, 0)
    await worker.finish(again, Completed(7))
    assert (await real.get(f"/api/v1/jobs/result/{job_id}"))[1]["result"] == 7


async def test_api_H4_the_expiry_and_the_registries_entries_go(
    real: Any, worker: WorkingHand, valkey: ValkeyServer
) -> None:
    failed = await submit(real)
    await fail(worker)
    cancelled = await submit(real)
    await cancel(real, cancelled)
    registries = {failed: "rq:failed:default", cancelled: "rq:canceled:default"}
    for job_id, registry in registries.items():
        assert valkey.client.ttl(f"rq:job:{job_id}") > 0
        assert valkey.client.zscore(registry, job_id) is not None
        assert (await restart(real, job_id))[0] == 200
        assert valkey.client.ttl(f"rq:job:{job_id}") == -1
        assert valkey.client.zscore(registry, job_id) is None


async def test_api_H5_the_old_execution_never_overlaps_with_the_new(real: Any, worker: WorkingHand) -> None:
    job_id = await submit(real)
    old = await worker.claim()
    await cancel(real, job_id)
    assert (await restart(real, job_id))[0] == 200
    assert await worker.claim_many() == [], "the old one has not stopped yet"
    assert not await worker.late_progress(old, 0.9)
    await worker.verdict(old, Completed("old"))
    (new,) = await worker.claim_many()
    assert (new.job_id, new.attempt) == (job_id, 1) and new.token != old.token
    assert not await worker.late_progress(old, 0.9)
    await worker.verdict(old, Completed("old"))
    body = await get(real, job_id)
    assert (body["status"], body["progress"]) == ("running", 0.0)
    await worker.finish(new, Completed("new"))
    assert (await real.get(f"/api/v1/jobs/result/{job_id}"))[1]["result"] == "new"


async def test_api_H6_of_two_restarts_one_wins(real: Any, worker: WorkingHand) -> None:
    for _ in range(10):
        job_id = await submit(real)
        await cancel(real, job_id)
        answers = await asyncio.gather(restart(real, job_id), restart(real, job_id))
        assert sorted(status for status, _ in answers) == [200, 409]
        assert (await get(real, job_id))["restarts"] == 1
        await cancel(real, job_id)


async def test_api_H7_it_obeys_limits_and_goes_to_the_back(real: Any, worker: WorkingHand) -> None:
    await worker.queue.control.set_limits(total=10, per_user=1)
    first = await submit(real)
    await fail(worker)
    others = [await submit(real), await submit(real)]
    assert (await restart(real, first))[0] == 200
    order = []
    for _ in range(3):
        (job,) = await worker.claim_many()
        order.append(job.job_id)
        await worker.finish(job, Completed())
    assert order == [*others, first]


async def test_api_H8_an_expired_job_is_unknown(real: Any, worker: WorkingHand, valkey: ValkeyServer) -> None:
    job_id = await submit(real)
    await fail(worker)
    await worker.queue.producer.remove(job_id)
    assert (await restart(real, job_id))[0] == 404

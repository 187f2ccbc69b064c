"""The whole way over the real library and a real Valkey: what one side does, HTTP clients of two servers see."""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import ValkeyServer, eventually, settings_for
from document_examples import COMPLETE, STATS, STATUS, UPDATE, assert_same_shape
from test_poll import watched_by
from working_hand import JOB_TYPES, SUBMIT, WorkingHand, get, submit

from jobqueue import Completed, Failed, JobQueue, Settings
from server.app_keys import HUB, QUEUE


@asynccontextmanager
async def second_server(start: Any, settings: Settings) -> AsyncIterator[Any]:
    yield await start(settings, await JobQueue.open(settings, name="server-two"))


async def test_a_whole_life_on_two_servers(real: Any, start: Any, settings: Settings, worker: WorkingHand) -> None:
    async with second_server(start, settings) as other:
        job_id = await submit(real, parameters={"chunk_size": 5}, user_id="ann")
        assert_same_shape(STATUS, await get(other, job_id))
        async with other.stream(job_id) as events:
            assert (await events.event()).data["status"] == "pending"
            claimed = await worker.claim()
            assert (claimed.function, claimed.args) == (
                "worker.rq_entry.run_job", ["extraction", {"chunk_size": 5}],
            )  # fmt: skip
            running = await events.event()
            assert_same_shape(UPDATE, running.data)
            assert running.data["status"] == "running"
            await worker.progress(claimed, 0.5, "half")
            assert (await events.event()).data == {
                "job_id": job_id, "status": "running", "progress": 0.5, "current_step": "half",
            }  # fmt: skip
            body = await get(real, job_id)
            assert (body["metrics"]["items_processed"], body["metrics"]["total_items"]) == (1, 2)
            assert (body["user_id"], body["attempt"], body["current_step"]) == ("ann", 1, "half")
            await worker.finish(claimed, Completed({"pages": 3}))
            last = await events.event()
            assert last.name == "job_complete"
            assert_same_shape(COMPLETE, last.data)
            assert last.data["result"] == {"pages": 3}
            assert await events.rest() == []
        body = await get(real, job_id)
        assert body["created_at"] <= body["started_at"] <= body["completed_at"]
        assert body["progress"] == 1.0
        result = (await real.get(f"/api/v1/jobs/result/{job_id}"))[1]
        assert result == {"job_id": job_id, "status": "completed", "result": {"pages": 3}, "error": None}
        async with real.stream(job_id, headers={"Last-Event-ID": str(last.id)}) as events:
            assert events.response.status == 204


async def test_api_D8_poll_wakes_for_another_process(real: Any, worker: WorkingHand) -> None:
    job_id = await submit(real)
    poll = asyncio.ensure_future(real.get(f"/api/v1/jobs/status/{job_id}/poll?current_status=pending"))
    await watched_by(real, 1)
    claimed = await worker.claim()
    changed = time.perf_counter()
    status, body = await poll
    assert time.perf_counter() - changed < 0.1
    assert (status, body["status"]) == (200, "running")
    await worker.finish(claimed, Completed())


async def test_cancel_and_restart(real: Any, worker: WorkingHand) -> None:
    job_id = await submit(real, parameters={"chunk_size": 5})
    assert (await real.post(f"/api/v1/jobs/cancel/{job_id}"))[1]["message"] == "Job cancelled successfully"
    assert (await get(real, job_id))["status"] == "cancelled"
    assert (await real.post(f"/api/v1/jobs/cancel/{job_id}"))[1]["message"] == "Job already cancelled"
    assert (await real.post(f"/api/v1/jobs/restart/{job_id}", {"parameters": {"chunk_size": 6}}))[0] == 200
    assert (await real.post(f"/api/v1/jobs/restart/{job_id}"))[1]["error"] == "JobNotRestartableError"
    claimed = await worker.claim()
    assert claimed.args == ["extraction", {"chunk_size": 6}]
    await worker.finish(claimed, Failed("it broke", permanent=True))
    body = await get(real, job_id)
    assert (body["status"], body["error"], body["restarts"]) == ("failed", "it broke", 1)
    status, body = await real.post(f"/api/v1/jobs/cancel/{job_id}")
    assert (status, body["error"], body["current_status"]) == (409, "JobAlreadyCompletedError", "failed")
    assert (await real.post(f"/api/v1/jobs/restart/{job_id}"))[0] == 200
    body = await get(real, job_id)
    assert (body["status"], body["progress"], body["error"], body["completed_at"]) == ("pending", 0.0, None, None)
    assert (await real.post(f"/api/v1/jobs/cancel/{job_id}"))[0] == 200


async def test_api_E11_restart_on_the_stream(real: Any, worker: WorkingHand) -> None:
    job_id = await submit(real)
    async with real.stream(job_id) as events:
        await events.event()
        await worker.finish(await worker.claim(), Failed("it broke", permanent=True))
        last = (await events.rest())[-1]
        assert (last.name, last.data["status"], last.data["error"]) == ("job_complete", "failed", "it broke")
    await real.post(f"/api/v1/jobs/restart/{job_id}")
    async with real.stream(job_id, headers={"Last-Event-ID": str(last.id)}) as events:
        first = await events.event()
        assert (first.data["status"], first.name) == ("pending", "job_update")
        assert first.id > last.id
    await real.post(f"/api/v1/jobs/cancel/{job_id}")


async def test_api_B2_same_id_twice(real: Any) -> None:
    wish = {"job_type": "extraction", "job_id": "550e8400-e29b-41d4-a716-446655440000"}
    answers = await asyncio.gather(*(real.post(SUBMIT, wish) for _ in range(10)))
    assert all(answer == answers[0] for answer in answers) and answers[0][0] == 202
    assert (await real.post(SUBMIT, {**wish, "priority": "high"}))[0] == 409
    assert (await real.get("/api/v1/jobs/queue/stats"))[1]["total_jobs"] == 1


async def test_api_B6_scheduled_job_starts_when_due(real: Any, worker: WorkingHand) -> None:
    job_id = await submit(real, scheduled_time="2099-01-01T00:00:00Z")
    body = await get(real, job_id)
    assert (body["status"], body["scheduled_time"]) == ("scheduled", "2099-01-01T00:00:00Z")
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 1))
    due = await submit(real, scheduled_time=soon)
    assert (await real.get(f"/api/v1/jobs/status/{due}/poll?current_status=scheduled&timeout=10"))[1]["status"] == (
        "pending"
    )


async def test_api_F_stats(real: Any, worker: WorkingHand) -> None:
    ids = [await submit(real, user_id=f"u{n}") for n in range(6)]
    await worker.finish(await worker.claim(), Completed())
    await worker.finish(await worker.claim(), Failed("x", permanent=True))
    running = await worker.claim()
    await real.post(f"/api/v1/jobs/cancel/{ids[5]}")
    await submit(real, scheduled_time="2099-01-01T00:00:00Z")

    async def beaten() -> bool:
        return bool((await worker.queue.inspector.stats()).servers_rss_mb)

    await eventually(beaten, "the server's first heartbeat")
    body = (await real.get("/api/v1/jobs/queue/stats"))[1]
    assert_same_shape(STATS, body)
    counts = {
        word: body[f"{word}_jobs"] for word in ("pending", "running", "scheduled", "completed", "failed", "cancelled")
    }
    assert counts == {"pending": 2, "running": 1, "scheduled": 1, "completed": 1, "failed": 1, "cancelled": 1}
    assert body["total_jobs"] == 7
    assert (body["active_workers"], body["worker_health_status"]) == (1, "healthy")
    (info,) = body["workers"]
    assert info["name"] == "test"
    assert (body["global_max_concurrent_jobs"], body["per_user_max_concurrent_jobs"]) == (10, 3)
    assert body["memory_usage_mb"] > 20
    await worker.finish(running, Completed())


async def test_a_stock_job_is_visible(real: Any, valkey: ValkeyServer) -> None:
    from rq import Queue
    from rq.serializers import JSONSerializer

    job = Queue("default", connection=valkey.client, serializer=JSONSerializer).enqueue("shop.mail.send", 1)
    body = await get(real, job.id)
    assert (body["status"], body["job_type"], body["user_id"]) == ("pending", "shop.mail.send", "default_user")
    assert_same_shape(STATUS, body)

    async def counted() -> bool:
        return bool((await real.get("/api/v1/jobs/queue/stats"))[1]["pending_jobs"] == 1)

    await eventually(counted, "the job joined the index")
    assert (await real.post(f"/api/v1/jobs/cancel/{job.id}"))[0] == 200


async def test_sec_W2_a_cut_subscription_is_repaired(real: Any, valkey: ValkeyServer, worker: WorkingHand) -> None:
    job_id = await submit(real)
    async with real.stream(job_id) as events:
        await events.event()
        await eventually(subscribed(real), "the subscription stands")
        valkey.client.client_kill_filter(_type="pubsub")
        claimed = await worker.claim()
        async with asyncio.timeout(5):
            assert (await events.event()).data["status"] == "running"
        await worker.finish(claimed, Completed(1))
        assert (await events.rest())[-1].data["result"] == 1


def subscribed(api: Any) -> Any:
    async def check() -> bool:
        return bool(api.app[QUEUE].events.subscribed)

    return check


@pytest.fixture
def own_valkey() -> Iterator[ValkeyServer]:
    """For tests that stop it."""
    folder = Path(tempfile.mkdtemp(prefix="jq-"))
    server = ValkeyServer(folder)
    yield server
    server.process.send_signal(signal.SIGCONT)
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


async def test_sec_N2_N8_a_silent_redis_is_503_within_two_seconds(
    start: Any, own_valkey: ValkeyServer, tmp_path: Path
) -> None:
    (tmp_path / "config.toml").write_text(JOB_TYPES)
    settings = settings_for(own_valkey.url, tmp_path, JOBQUEUE_SERVER_KEEP_ALIVE_SECONDS="0.1")
    api = await start(settings, await JobQueue.open(settings, name="server-one"))
    queue = await JobQueue.open(settings, name="other")
    job_id = await submit(api)
    async with api.stream(job_id) as events:
        await events.event()
        own_valkey.process.send_signal(signal.SIGSTOP)
        started = time.perf_counter()
        calls = [
            api.get(f"/api/v1/jobs/status/{job_id}"),
            api.get(f"/api/v1/jobs/status/{job_id}/poll?timeout=30"),
            api.get(f"/api/v1/jobs/status/{job_id}/poll?timeout=0"),
            api.get(f"/api/v1/jobs/status/{job_id}/stream"),
            api.get(f"/api/v1/jobs/result/{job_id}"),
            api.get("/api/v1/jobs/queue/stats"),
            api.get("/health/ready"),
            api.post(f"/api/v1/jobs/cancel/{job_id}"),
            api.post(SUBMIT, {"job_type": "extraction"}),
        ]
        answers = await asyncio.gather(*calls)
        assert time.perf_counter() - started < 2
        assert [status for status, _ in answers] == [503] * len(calls)
        assert (await events.next()).comments == ["keep-alive"], "the stream stays"
        own_valkey.process.send_signal(signal.SIGCONT)

        async def back() -> bool:
            return bool((await api.get("/health/ready"))[0] == 200)

        await eventually(back, "ready again")
        await api.post(f"/api/v1/jobs/cancel/{job_id}")
        async with asyncio.timeout(10):
            assert (await events.rest())[-1].data["status"] == "cancelled"
    await queue.close()


async def test_the_server_starts_before_redis(start: Any, tmp_path: Path) -> None:
    folder = Path(tempfile.mkdtemp(prefix="jq-"))
    (tmp_path / "config.toml").write_text(JOB_TYPES)
    settings = settings_for(f"unix://{folder}/v.sock?db=0", tmp_path)
    api = await start(settings, await JobQueue.open(settings, name="server-one"))
    assert await api.get("/health/ready") == (503, {"status": "unavailable"})
    valkey = ValkeyServer(folder)
    try:

        async def ready() -> bool:
            return bool((await api.get("/health/ready"))[0] == 200)

        await eventually(ready, "ready")
        await eventually(subscribed(api), "the subscription stands")
        job_id = await submit(api)
        async with api.stream(job_id) as events:
            await events.event()
            await api.post(f"/api/v1/jobs/cancel/{job_id}")
            assert (await events.event()).data["status"] == "cancelled"
        assert api.app[HUB].watchers == 0
        await api.runner.cleanup()
    finally:
        valkey.stop()
        shutil.rmtree(folder, ignore_errors=True)

"""What holds while Valkey's memory is full: new jobs are refused, and everything that frees or keeps alive goes on."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from conftest import settings_for
from faults import ask, assert_sound, submit_answer, try_submit
from support import LEASE, System, running, wait_for

from jobqueue import JobQueue

pytestmark = pytest.mark.process

BALLAST_JOBS = 80
BALLAST_TEXT = "x" * 200_000


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    yield from running(tmp_path)


@pytest.fixture
def client(system: System) -> Iterator[redis.Redis]:
    system.server()
    made = system.redis()
    yield made
    made.close()


def half_of_use(client: redis.Redis) -> int:
    return int(client.info("memory")["used_memory"]) // 2


def ballast(system: System) -> list[str]:
    """Jobs that fill memory and are not due for long."""
    ids = []
    for number in range(BALLAST_JOBS):
        body = {
            "job_type": "document_processing",
            "user_id": "ballast",
            "scheduled_time": "2199-01-01T00:00:00Z",
            "parameters": {"documents": [{"name": f"{number}.txt", "text": BALLAST_TEXT}]},
        }
        answer = ask(system, "POST", "/api/v1/jobs/submit", body)
        assert answer.status == 202, answer
        ids.append(answer.body["job_id"])
    return ids


def cancel(system: System, job_id: str) -> None:
    assert ask(system, "POST", f"/api/v1/jobs/cancel/{job_id}").status == 200


async def remove(system: System, ids: list[str]) -> None:
    """What the cleanup does, without its waiting time."""
    queue = await JobQueue.open(settings_for(system.valkey().url, system.folder / "input"), name="cleaner")
    try:
        for job_id in ids:
            await queue.producer.remove(job_id)
    finally:
        await queue.close()


async def test_sec_D11_the_queue_drains_and_then_takes_jobs_again(system: System, client: redis.Redis) -> None:
    held = ballast(system)
    jobs = [system.submit(seconds=1.5, user=f"user{n}") for n in range(6)]
    cancelled = system.submit(seconds=60)
    cancel(system, cancelled)
    client.config_set("maxmemory", half_of_use(client))

    refusals = [submit_answer(system), ask(system, "POST", f"/api/v1/jobs/restart/{cancelled}")]
    for answer in refusals:
        assert (answer.status, answer.body["error"]) == (503, "QueueUnavailableError")
        assert answer.retry_after is not None
        assert "full" in answer.body["message"]
    assert ask(system, "GET", "/health/ready").status == 200, "all but new jobs goes on"

    worker = system.worker()
    wait_for(lambda: any(0 < system.status(job)["progress"] < 1 for job in jobs), "progress is told")
    for job_id in jobs:
        assert system.wait_status(job_id, "completed")["attempt"] == 1
    assert worker.poll() is None
    assert submit_answer(system).status == 503, "what has ended is still kept"

    for job_id in held:
        cancel(system, job_id)
    await remove(system, held)
    again = wait_for(lambda: try_submit(system), "a job is accepted again")
    assert ask(system, "POST", f"/api/v1/jobs/restart/{cancelled}").status == 200
    cancel(system, cancelled)
    system.wait_status(again, "completed")
    assert_sound(system)


def test_sec_D11_leases_cancels_and_rescues_need_no_memory(system: System, client: redis.Redis) -> None:
    lost = system.worker()
    job_id, other = system.submit(seconds=LEASE * 2), system.submit("child", seconds=60)
    wait_for(lambda: len(system.traces("start")) == 2, "both run")
    client.config_set("maxmemory", half_of_use(client))
    deadline = client.zscore("rq:x:leases", _token(client, job_id))
    wait_for(lambda: client.zscore("rq:x:leases", _token(client, job_id)) != deadline, "the lease is renewed")
    system.kill(lost, signal.SIGKILL)
    system.worker()
    assert system.wait_status(job_id, "completed")["attempt"] == 2
    wait_for(lambda: len(system.traces("start", other)) == 2, "the other is rescued too")
    cancel(system, other)
    wait_for(lambda: client.zcard("rq:x:stopping") == 0, "the cancelled one has stopped")
    client.config_set("maxmemory", 0)
    assert_sound(system)


def _token(client: redis.Redis, job_id: str) -> str:
    execution = client.hget(f"rq:job:{job_id}", "x_run")
    assert isinstance(execution, bytes)
    return f"{job_id}:{execution.split()[0].decode()}"

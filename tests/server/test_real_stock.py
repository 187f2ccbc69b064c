"""Jobs that a stock worker runs, as our API shows them: it says nothing, so the next tick has to."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import rq
from conftest import ValkeyServer, eventually
from rq.serializers import JSONSerializer
from test_poll import watched_by

STATS = "/api/v1/jobs/queue/stats"


@pytest.fixture
def stock(valkey: ValkeyServer) -> rq.Queue:
    return rq.Queue("stocky", connection=valkey.client, serializer=JSONSerializer)


def work(stock: rq.Queue) -> None:
    rq.SimpleWorker([stock], connection=stock.connection, serializer=JSONSerializer).work(
        burst=True, logging_level="ERROR"
    )


async def joined(api: Any, job_id: str) -> None:
    async def there() -> bool:
        jobs = (await api.get("/api/v1/jobs?status=pending"))[1]["jobs"]
        return job_id in {job["job_id"] for job in jobs}

    await eventually(there, "the job has joined the index")


async def test_api_C2_api_F3_what_a_stock_worker_did_is_counted_and_listed(real: Any, stock: rq.Queue) -> None:
    ids = {stock.enqueue("math.hypot", 3, n).id for n in range(2)} | {stock.enqueue("math.sqrt", -1).id}
    for job_id in ids:
        await joined(real, job_id)
    work(stock)

    async def counted() -> bool:
        stats = (await real.get(STATS))[1]
        return (stats["completed_jobs"], stats["failed_jobs"], stats["total_jobs"]) == (2, 1, 3)

    await eventually(counted, "the counts follow", 3)
    _, body = await real.get("/api/v1/jobs?status=completed,failed")
    assert {job["job_id"] for job in body["jobs"]} == ids


async def test_api_E5_api_E10_watchers_of_a_stock_workers_job_see_its_end_once(real: Any, stock: rq.Queue) -> None:
    job_id = stock.enqueue("math.hypot", 3, 4).id
    await joined(real, job_id)
    async with real.stream(job_id) as events:
        first = await events.event()
        assert first.data["status"] == "pending"
        poll = asyncio.ensure_future(real.get(f"/api/v1/jobs/status/{job_id}/poll?current_status=pending&timeout=30"))
        await watched_by(real, 2)
        work(stock)
        rest = await asyncio.wait_for(events.rest(), 3)
        assert rest[-1].name == "job_complete" and rest[-1].data["status"] == "completed"
        assert (await asyncio.wait_for(poll, 3))[1]["status"] == "completed"
    async with real.stream(job_id, headers={"Last-Event-ID": str(rest[-1].id)}) as again:
        assert again.response.status == 204

"""A job that a stock worker runs is a job like any other: each of its changes is seen within two seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import rq
from conftest import ValkeyServer, eventually
from rq.serializers import JSONSerializer
from rq_support import StockWorker
from test_poll import watched_by
from test_real_stock import joined

PROMPT = 2.0
JOBS = "/api/v1/jobs"


class Stock:
    """A producer and a worker of RQ's own; its jobs wait for the gate."""

    def __init__(self, queue: rq.Queue, gate: Path) -> None:
        self.queue = queue
        self.gate = gate
        self.working: list[asyncio.Task[None]] = []

    def enqueue(self, end: str = "", **options: Any) -> str:
        return str(self.queue.enqueue("rq_jobs.hold_still", str(self.gate), end, **options).id)

    def start(self) -> None:
        self.working.append(asyncio.create_task(asyncio.to_thread(self._work), name="stock-worker"))

    def _work(self) -> None:
        worker = StockWorker([self.queue], connection=self.queue.connection, serializer=JSONSerializer)
        worker.work(burst=True, logging_level="CRITICAL")

    async def end(self) -> None:
        self.gate.touch()
        await asyncio.gather(*self.working)


@pytest.fixture
async def stock(valkey: ValkeyServer, tmp_path: Path) -> AsyncIterator[Stock]:
    made = Stock(rq.Queue("stocky", connection=valkey.client, serializer=JSONSerializer), tmp_path / "gate")
    yield made
    await made.end()


async def status_of(api: Any, job_id: str) -> dict[str, Any]:
    code, body = await api.get(f"{JOBS}/status/{job_id}")
    assert code == 200
    found: dict[str, Any] = body
    return found


async def counted(api: Any, what: str) -> None:
    async def there() -> bool:
        stats = (await api.get(f"{JOBS}/queue/stats"))[1]
        return bool(stats[what] == 1 and stats["total_jobs"] == 1)

    await eventually(there, what, PROMPT)


async def listed(api: Any, state: str, job_id: str) -> None:
    async def there() -> bool:
        return [job["job_id"] for job in (await api.get(f"{JOBS}?status={state}"))[1]["jobs"]] == [job_id]

    await eventually(there, f"listed as {state}", PROMPT)


@pytest.mark.parametrize(("end", "last"), [("", "completed"), ("raise", "failed")])
async def test_api_C2_api_F3_status_stats_and_list_follow_a_stock_worker(
    real: Any, stock: Stock, end: str, last: str
) -> None:
    job_id = stock.enqueue(end)
    await joined(real, job_id)
    stock.start()
    await counted(real, "running_jobs")
    await listed(real, "running", job_id)
    running = await status_of(real, job_id)
    assert running["status"] == "running" and running["started_at"] is not None and running["completed_at"] is None
    await stock.end()
    assert (await status_of(real, job_id))["status"] == last
    await counted(real, f"{last}_jobs")
    await listed(real, last, job_id)
    body = await status_of(real, job_id)
    assert body["created_at"] <= body["started_at"] <= body["completed_at"]
    assert (body["error"] is not None) == (last == "failed")
    code, result = await real.get(f"{JOBS}/result/{job_id}")
    assert (code, result["status"]) == (200, last)


async def test_api_D8_a_poll_sees_each_change(real: Any, stock: Stock) -> None:
    job_id = stock.enqueue()
    await joined(real, job_id)
    known = "pending"
    for change, following in ((stock.start, "running"), (stock.gate.touch, "completed")):
        path = f"{JOBS}/status/{job_id}/poll?current_status={known}&timeout=30"
        poll = asyncio.create_task(real.get(path), name="poll")
        await watched_by(real, 1)
        before = time.monotonic()
        change()
        code, body = await asyncio.wait_for(poll, PROMPT + 1)
        assert (code, body["status"]) == (200, following)
        assert time.monotonic() - before <= PROMPT
        known = following


async def test_api_E5_api_E6_a_stream_sees_each_change_once(real: Any, stock: Stock) -> None:
    job_id = stock.enqueue()
    await joined(real, job_id)
    async with real.stream(job_id) as events:
        assert (await events.event()).data["status"] == "pending"
        before = time.monotonic()
        stock.start()
        assert (await asyncio.wait_for(events.event(), PROMPT + 1)).data["status"] == "running"
        assert time.monotonic() - before <= PROMPT
        before = time.monotonic()
        stock.gate.touch()
        rest = await asyncio.wait_for(events.rest(), PROMPT + 1)
        assert time.monotonic() - before <= PROMPT
    told = [(event.name, event.data["status"]) for event in rest if event.name]
    assert told[-1] == ("job_complete", "completed")
    assert [name for name, _ in told].count("job_complete") == 1
    assert {status for _, status in told} == {"completed"}


async def test_api_G2_a_cancel_of_what_a_stock_worker_runs(real: Any, stock: Stock) -> None:
    job_id = stock.enqueue()
    await joined(real, job_id)
    stock.start()
    await listed(real, "running", job_id)
    code, _ = await real.post(f"{JOBS}/cancel/{job_id}")
    assert code == 200
    # This worker hears no commands: it writes its own end, later.
    await stock.end()
    await counted(real, "cancelled_jobs")
    await listed(real, "cancelled", job_id)
    assert (await status_of(real, job_id))["status"] == "cancelled"

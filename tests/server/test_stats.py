"""Queue statistics, statements F1 to F10."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import psutil
import pytest
from conftest import eventually
from document_examples import JOB, STATS, assert_same_shape
from fake_queue import CREATED, FakeQueue

from jobqueue import Stats, WorkerInfo
from server.gauges import Gauges
from server.stats import health

PATH = "/api/v1/jobs/queue/stats"
OURS = WorkerInfo(
    name="w", host="h", pid=1, queues=("default", "slow"), concurrency=4, running=2, rss_mb=50,
    heartbeat_age_seconds=1.23,
)  # fmt: skip
STALE = replace(OURS, name="stale", heartbeat_age_seconds=15.0)
STOCK = replace(OURS, name="stock", heartbeat_age_seconds=0.0, stock=True)


def stats(pending: int, *workers: WorkerInfo) -> Stats:
    return Stats(
        counts={"pending": pending}, limit_total=1, limit_per_user=1, last_cleanup=None, workers=workers,
        servers_rss_mb=0, redis_memory_mb=0, server_time=0,
    )  # fmt: skip


async def test_api_F1_F2_the_documents_example(api: Any, fake: FakeQueue) -> None:
    for state in ("pending", "running", "scheduled", "completed", "failed", "cancelled"):
        for n in range(STATS[f"{state}_jobs"]):
            fake.add(f"{state}-{n}", state)  # type: ignore[arg-type]
    fake.last_cleanup = CREATED - 300_000_000
    fake.workers = (OURS, replace(OURS, name="v"))
    status, body = await api.get(PATH)
    assert status == 200
    assert_same_shape(STATS, body)
    varying = ("cache_size", "cpu_usage_percent", "memory_usage_mb")
    assert {key: body[key] for key in STATS if key not in varying} == {
        key: value for key, value in STATS.items() if key not in varying
    }
    assert body["cache_size"] == 0
    assert 0 <= body["cpu_usage_percent"] <= 100
    assert body["memory_usage_mb"] >= 200
    assert body["redis_memory_mb"] == 7


async def test_workers_as_the_design_says(api: Any, fake: FakeQueue) -> None:
    fake.workers = (OURS,)
    assert (await api.get(PATH))[1]["workers"] == [
        {
            "name": "w",
            "host": "h",
            "pid": 1,
            "queues": ["default", "slow"],
            "concurrency": 4,
            "running": 2,
            "rss_mb": 50,
            "draining": False,
            "heartbeat_age_seconds": 1.2,
        }
    ]


async def test_api_F9_never_cleaned_is_null(api: Any) -> None:
    assert (await api.get(PATH))[1]["last_cleanup"] is None


async def test_api_F7_active_workers(api: Any, fake: FakeQueue) -> None:
    fake.workers = (OURS, STALE, STOCK)
    body = (await api.get(PATH))[1]
    assert (body["active_workers"], body["worker_health_status"]) == (2, "warning")


@pytest.mark.parametrize(
    ("pending", "workers", "word"),
    [
        (0, (), "warning"),
        (1, (), "critical"),
        (0, (STALE,), "warning"),
        (1, (STALE,), "critical"),
        (5, (OURS,), "healthy"),
        (5, (STOCK,), "healthy"),
        (0, (OURS, STALE), "warning"),
    ],
)
def test_api_F7_health_words(pending: int, workers: tuple[WorkerInfo, ...], word: str) -> None:
    assert health(stats(pending, *workers)) == word


async def test_api_F10_cache_size_counts_watched_jobs(api: Any, fake: FakeQueue) -> None:
    fake.add(JOB)
    async with api.stream(JOB) as one, api.stream(JOB) as two:
        await one.event()
        await two.event()
        body = (await api.get(PATH))[1]
        assert (body["cache_size"], body["open_watches"]) == (1, 2)


async def test_memory_is_of_this_process_without_embedded_servers() -> None:
    gauges = Gauges()
    await gauges.sample_memory()
    own = psutil.Process(os.getpid()).memory_info().rss // 1_000_000
    assert own * 0.5 <= gauges.rss_mb


async def test_cpu_is_sampled_without_waiting() -> None:
    gauges = Gauges()
    await gauges.sample_cpu()
    assert 0 <= gauges.cpu_percent <= 100
    gauges._total, gauges._busy = gauges._total - 1_000_000, gauges._busy - 250_000

    async def sampled() -> bool:
        await gauges.sample_cpu()
        return True

    await eventually(sampled, "a sample")
    assert gauges.cpu_percent == pytest.approx(25.0, abs=0.2)

"""Limits, cancels and schedules between stock RQ and us (checks 25 to 28)."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import rq
from hands import Hands, new
from rq.registry import CanceledJobRegistry
from rq_support import Processes, Site, until

from jobqueue import NewJob
from jobqueue.fsck import fsck

LIMIT = rq.RateLimit("user:u1", 1)


def adding(number: int, user: str = "u1") -> NewJob:
    job = new(user)
    job.function, job.args = "rq_jobs.add", [number]
    return job


def waiting(site: Site) -> list[str]:
    return list(site.scores("rq:rl:user:u1:rate_limited"))


async def test_25_ours_and_rqs_jobs_share_one_limit(json_site: Site) -> None:
    site = json_site
    jobs = [adding(number) for number in range(3)]
    async with site.opened(JOBQUEUE_LIMITS_PER_USER="1", JOBQUEUE_LIMITS_TOTAL="1") as queue:
        await queue.register_worker()
        await queue.producer.enqueue_many(jobs)
        stock = site.queue.enqueue("rq_jobs.add", 3, rate_limit=LIMIT)
        assert (len(site.listed()), len(waiting(site))) == (1, 3)
        hands = Hands(queue, site.client)
        await hands.run(jobs[0].job_id)
        assert (len(site.listed()), len(waiting(site))) == (1, 2)
        site.work(max_jobs=1)
        assert (len(site.listed()), len(waiting(site))) == (1, 1)
        site.work()
    assert [site.job(job.job_id).return_value() for job in jobs[1:]] == [1, 2]
    assert stock.return_value() == 3
    assert site.scores("rq:rl:user:u1:allowed") == {}
    await site.settled()


async def test_25_with_jobs_of_rq_alone(site: Site) -> None:
    ids = [site.queue.enqueue("rq_jobs.add", n, rate_limit=LIMIT).id for n in range(4)]
    assert (len(site.listed()), len(waiting(site))) == (1, 3)
    site.work(max_jobs=1)
    assert (len(site.listed()), len(waiting(site))) == (1, 2)
    await site.run_ours(*ids)
    assert sorted(site.job(job_id).return_value() for job_id in ids) == [0, 1, 2, 3]
    assert site.scores("rq:rl:user:u1:allowed") == {}
    await site.settled()
    assert site.client.keys("rq:rl*") == []


def most_at_once(file: Path) -> int:
    """From what the jobs noted at their starts and ends."""
    most = now = 0
    for line in sorted(file.read_text().splitlines(), key=lambda line: float(line.split()[2])):
        now += 1 if line.startswith("start") else -1
        most = max(most, now)
    return most


async def test_26_a_global_limit_over_three_workers(site: Site) -> None:
    file = site.folder / "notes"
    ids = [site.queue.enqueue("rq_jobs.short", str(file), n, 0.05).id for n in range(6)]
    limits = {"JOBQUEUE_LIMITS_TOTAL": "2", "JOBQUEUE_LIMITS_PER_USER": "2"}
    seen = 0
    async with AsyncExitStack() as stack:
        for number in range(3):
            await stack.enter_async_context(site.ours(f"ours-{number}", **limits))
        while {site.status(job_id) for job_id in ids} != {"finished"}:
            seen = max(seen, site.client.zcard("rq:wip:default"))
            await asyncio.sleep(0.001)
    assert (seen, most_at_once(file)) == (2, 2)
    await site.settled()


async def test_27_we_cancel_what_waits(site: Site) -> None:
    ids = [site.queue.enqueue("rq_jobs.add", n, rate_limit=LIMIT).id for n in range(3)]
    registry = CanceledJobRegistry("default", connection=site.client, serializer=site.serializer)
    async with site.opened() as queue:
        # The last waits for a slot, the first is pending; the second gets its place.
        for job_id in (ids[2], ids[0]):
            await queue.producer.cancel(job_id)
    assert [site.status(job_id) for job_id in ids] == ["canceled", "queued", "canceled"]
    assert set(registry.get_job_ids()) == {ids[0], ids[2]}
    assert (site.listed(), waiting(site)) == ([ids[1]], [])
    assert list(site.scores("rq:rl:user:u1:allowed")) == [ids[1]]
    await site.settled()
    for job_id in (ids[0], ids[2]):
        registry.requeue(job_id)
    site.work()
    await site.run_ours(*ids)
    assert [site.job(job_id).return_value() for job_id in ids] == [0, 1, 2]
    await site.settled()


async def test_27_rq_cancels_what_we_enqueued(json_site: Site) -> None:
    site = json_site
    jobs = [adding(number) for number in range(2)]
    async with site.opened(JOBQUEUE_LIMITS_PER_USER="1") as queue:
        await queue.producer.enqueue_many(jobs)
        for job in reversed(jobs):
            site.job(job.job_id).cancel()
        assert {site.status(job.job_id) for job in jobs} == {"canceled"}
        assert (site.listed(), waiting(site)) == ([], [])
        await site.settled()
        assert (await queue.inspector.stats()).counts["cancelled"] == 2
        # RQ keeps them for ever; our cleanup does not.
        await Hands(queue, site.client).clean()
        assert fsck(site.client) == []
    CanceledJobRegistry("default", connection=site.client, serializer=site.serializer).requeue(jobs[0].job_id)
    await site.run_ours(jobs[0].job_id)
    assert site.job(jobs[0].job_id).return_value() == 0
    await site.settled()


async def test_28_rqs_scheduler_moves_what_we_scheduled(json_site: Site) -> None:
    site = json_site
    job = adding(1)
    job.delay_seconds = 1
    async with site.opened() as queue:
        await queue.producer.enqueue(job)
        assert site.status(job.job_id) == "scheduled"
        assert list(site.scores("rq:scheduled:default")) == [job.job_id]
    scheduler = rq.scheduler.RQScheduler([site.queue], connection=site.client, serializer=site.serializer)
    assert scheduler.acquire_locks() == {"default"}
    scheduler.enqueue_scheduled_jobs()
    assert site.status(job.job_id) == "scheduled"
    # RQ compares whole seconds.
    await until(lambda: int(time.time()) > max(site.scores("rq:scheduled:default").values()), "it is due", 3)
    scheduler.enqueue_scheduled_jobs()
    scheduler.release_locks()
    assert site.status(job.job_id) == "queued"
    site.work()
    assert site.job(job.job_id).return_value() == 1
    await site.settled()


@pytest.mark.process
async def test_28_a_burst_of_rq_worker_with_its_scheduler(json_site: Site, json_processes: Processes) -> None:
    site = json_site
    soon, late = adding(1), adding(2)
    soon.delay_seconds, late.delay_seconds = 0.01, 500
    async with site.opened() as queue:
        await queue.producer.enqueue_many([soon, late])
    await until(lambda: int(time.time()) > min(site.scores("rq:scheduled:default").values()), "one is due", 3)
    process = json_processes.stock("--burst", "--with-scheduler", "default")
    await until(lambda: process.poll() is not None, "the burst is over", 20)
    assert (site.status(soon.job_id), site.status(late.job_id)) == ("finished", "scheduled")
    await site.settled()


async def test_28_we_move_what_rq_scheduled(site: Site) -> None:
    job = site.queue.enqueue_at(datetime.now(UTC) + timedelta(seconds=1), "rq_jobs.add", 1)
    async with site.ours():
        assert site.status(job.id) == "scheduled"
        await until(lambda: site.status(job.id) == "finished", "it was moved and run", 4)
    assert job.return_value() == 1
    assert site.scores("rq:scheduled:default") == {}
    await site.settled()


async def test_28_while_rqs_scheduler_has_the_lock_we_move_nothing_of_its_queue(site: Site) -> None:
    site.client.set("rq:scheduler-lock:default", "a-scheduler", ex=61)
    job = site.queue.enqueue_at(datetime.now(UTC) - timedelta(seconds=1), "rq_jobs.add", 1)
    async with site.ours():
        with_others = site.stock_queue("other").enqueue_at(datetime.now(UTC), "rq_jobs.add", 2)
        await until(lambda: site.status(with_others.id) == "queued", "a queue without a lock", 3)
        assert site.status(job.id) == "scheduled"
        site.client.delete("rq:scheduler-lock:default")
        await until(lambda: site.status(job.id) == "finished", "the lock is gone", 3)
    await site.settled()

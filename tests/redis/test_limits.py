"""Limits and fairness, at the level of the scripts: never over, never stuck, nobody crowded out."""

from __future__ import annotations

import asyncio
import random
import uuid

from conftest import ValkeyServer

from jobqueue import Completed, Ended, Failed, JobQueue, Lane, NewJob, Released
from jobqueue.job import Priority

LEASE_US = 60_000_000


def new_job(user: str, priority: Priority = "normal") -> NewJob:
    return NewJob(job_id=str(uuid.uuid4()), function="a.b", user_id=user, priority=priority)


def lane_of(queue: JobQueue, number: int = 0) -> Lane:
    return Lane(queue.namespace, "test", number, ("default",), LEASE_US)


async def test_api_M1_three_workers_under_load_never_exceed_the_limits(queue: JobQueue, valkey: ValkeyServer) -> None:
    await queue.register_worker()
    users = [f"user{n}" for n in range(6)]
    await queue.producer.enqueue_many([new_job(random.choice(users)) for _ in range(600)])
    done = 0
    most_running = 0

    async def work(number: int) -> None:
        nonlocal done
        lane, ended = lane_of(queue, number), []
        while done < 600:
            batch = await lane.advance(ended, 6)
            assert set(batch.verdicts) <= {"ok"}
            done += sum(isinstance(entry.outcome, Completed) for entry in ended)
            await asyncio.sleep(random.random() / 500)
            ended = [Ended(job, Released() if random.random() < 0.1 else Completed(1)) for job in batch.jobs]

    async def sample() -> None:
        nonlocal most_running
        keys = queue.namespace.keys
        while done < 600:
            call = queue.namespace.link.call
            running, *live = await asyncio.gather(
                call("ZCARD", keys.leases), *(call("SCARD", keys.live(user)) for user in users)
            )
            assert running <= 10
            assert max(live) <= 3
            most_running = max(most_running, running)
            await asyncio.sleep(0)

    await asyncio.gather(work(0), work(1), work(2), sample())
    assert most_running == 10, "the limit is also used"
    assert (await queue.inspector.stats()).counts["completed"] == 600


async def test_limits_of_one_drain(queue: JobQueue) -> None:
    await queue.register_worker()
    await queue.control.set_limits(total=1, per_user=1)
    await queue.producer.enqueue_many([new_job(f"user{n % 3}") for n in range(30)])
    lane, ended = lane_of(queue), []
    for _ in range(30):
        batch = await lane.advance(ended, 5)
        assert len(batch.jobs) == 1
        assert batch.shortage == "limit"
        ended = [Ended(job, Failed("x", permanent=True)) for job in batch.jobs]
    assert (await lane.advance(ended, 5)).jobs == []
    assert (await queue.inspector.stats()).counts["failed"] == 30


async def test_api_M3_M4_a_user_with_100_000_waiting_delays_another_by_three_starts(
    queue: JobQueue, valkey: ValkeyServer
) -> None:
    await queue.register_worker()
    await queue.producer.enqueue_many([new_job("crowd") for _ in range(100_000)])
    lane = lane_of(queue)
    batch = await lane.advance([], 3)
    assert len(batch.jobs) == 3
    await queue.producer.enqueue(new_job("single"))
    starts = 0
    for _ in range(10):
        batch = await lane.advance([Ended(batch.jobs[0], Completed(1))], 1)
        if batch.jobs[0].user_id == "single":
            break
        starts += 1
    assert starts <= 3
    # fsck would look at all of them; what it found here would be found with a hundred too.
    valkey.client.flushall()


async def test_api_M3_fifo_within_a_user_and_bands_of_priority(queue: JobQueue) -> None:
    await queue.register_worker()
    await queue.control.set_limits(total=1, per_user=1)
    first = new_job("ann")
    await queue.producer.enqueue(first)
    order: list[Priority] = ["low", "normal", "urgent", "normal", "high", "low", "urgent"]
    jobs = [new_job("ann", priority) for priority in order]
    for job in jobs:
        await queue.producer.enqueue(job)
    lane, ended, started = lane_of(queue), [], []
    for _ in range(8):
        batch = await lane.advance(ended, 1)
        started += [job.job_id for job in batch.jobs]
        ended = [Ended(job, Completed(1)) for job in batch.jobs]
    expected = [jobs[n].job_id for n in (2, 6, 4)]
    # Admitted before the others came, but not started: the better ones overtake it, the later ones of its kind do not.
    assert started == [*expected, first.job_id, *(jobs[n].job_id for n in (1, 3, 0, 5))]
    await lane.advance(ended, 0)


async def test_api_M6_a_raised_limit_is_filled_by_the_tick(queue: JobQueue) -> None:
    await queue.register_worker()
    await queue.producer.enqueue_many([new_job("ann") for _ in range(8)])
    lane = lane_of(queue)
    assert len((await lane.advance([], 8)).jobs) == 3
    await queue.control.set_limits(total=10, per_user=5)
    await queue.namespace.run("sweep", {"interval": 0, "cursor": "0", "batch": 50})
    assert len((await lane.advance([], 8)).jobs) == 2
    await queue.control.reset_limits()
    assert (await lane.advance([], 8)).jobs == []


async def test_a_limit_set_by_the_api_survives_a_restart_of_processes(queue: JobQueue) -> None:
    await queue.control.set_limits(total=7, per_user=2)
    assert await queue.control.configure_limits(total=10, per_user=3) == (7, 2)
    assert await queue.control.reset_limits() == (10, 3)

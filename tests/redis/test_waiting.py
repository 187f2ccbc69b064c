"""Why jobs wait: every reason, the user's own jobs ahead (exact), the position (an upper bound), the estimate."""

from __future__ import annotations

import random
import uuid
from collections.abc import AsyncIterator

import pytest
from conftest import ValkeyServer, settings_for

from jobqueue import Claimed, Completed, Consumer, Ended, Failed, JobQueue, Lane, NewJob
from jobqueue.job import PRIORITIES, Priority, Waiting
from jobqueue.leases import LeaseRenewer

LEASE_US = 60_000_000


@pytest.fixture
async def queue(valkey: ValkeyServer, tmp_path) -> AsyncIterator[JobQueue]:  # type: ignore[no-untyped-def]
    queue = await JobQueue.open(settings_for(valkey.url, tmp_path), name="w")
    await queue.register_worker()
    yield queue
    await queue.close()


class Hand:
    """A worker whose every step is one call."""

    def __init__(self, queue: JobQueue) -> None:
        self.lane = Lane(queue.namespace, "w", 0, ("default",), LEASE_US)
        self.consumer = Consumer(queue.namespace, "w")

    async def take(self, want: int = 1) -> list[Claimed]:
        return (await self.lane.advance([], want)).jobs

    async def end(self, *jobs: Claimed) -> None:
        assert set(await self.consumer.finish([Ended(job, Completed()) for job in jobs])) == {"ok"}


async def enqueue(queue: JobQueue, user: str = "ann", *, job_type: str = "scan", priority: Priority = "normal",
                  due: int | None = None, depends_on: tuple[str, ...] = (), max_attempts: int = 1) -> str:  # fmt: skip
    job = NewJob(
        job_id=str(uuid.uuid4()),
        function="a.b",
        user_id=user,
        job_type=job_type,
        priority=priority,
        due=due,
        depends_on=depends_on,
        max_attempts=max_attempts,
    )
    return (await queue.producer.enqueue(job)).job_id


async def waiting(queue: JobQueue, job_id: str) -> Waiting:
    job = await queue.inspector.get(job_id)
    await queue.inspector.explain([job])
    assert job.waiting is not None
    return job.waiting


async def test_user_limit_and_others_and_global_limit(queue: JobQueue) -> None:
    await queue.control.set_limits(total=3, per_user=2)
    hand = Hand(queue)
    first, second, third, fourth = [await enqueue(queue) for _ in range(4)]
    seen = await waiting(queue, second)
    assert (seen.reason, seen.ahead_own) == ("behind_others", 1), "nothing runs, so nothing but its turn keeps it"
    running = await hand.take(2)
    assert {job.job_id for job in running} == {first, second}
    assert await waiting(queue, fourth) == Waiting(reason="user_limit", ahead_own=1, position=2)
    other = await enqueue(queue, "bob")
    (third_running,) = await hand.take(1)
    assert third_running.job_id == other
    late = await enqueue(queue, "cat")
    seen = await waiting(queue, late)
    assert (seen.reason, seen.ahead_own) == ("global_limit", 0)
    assert seen.position is not None and seen.position >= 1
    assert (await waiting(queue, third)).ahead_own == 0


async def test_what_runs_or_has_ended_does_not_wait(queue: JobQueue) -> None:
    hand, job_id = Hand(queue), await enqueue(queue)
    (claimed,) = await hand.take()
    job = await queue.inspector.get(job_id)
    await queue.inspector.explain([job])
    assert job.waiting is None
    await hand.end(claimed)
    job = await queue.inspector.get(job_id)
    await queue.inspector.explain([job])
    assert job.waiting is None


@pytest.mark.parametrize("kind", ["queue", "user", "type"])
async def test_paused(queue: JobQueue, kind: str) -> None:
    hand, job_id = Hand(queue), await enqueue(queue)
    name = {"queue": "", "user": "ann", "type": "scan"}[kind]
    assert await queue.control.pause(kind, name) is True  # type: ignore[arg-type]
    assert await queue.control.pause(kind, name) is False  # type: ignore[arg-type]
    seen = await waiting(queue, job_id)
    assert (seen.reason, seen.detail, seen.eta_seconds) == ("paused", kind, None)
    assert await hand.take() == []
    assert await queue.control.resume(kind, name) is True  # type: ignore[arg-type]
    (claimed,) = await hand.take()
    assert claimed.job_id == job_id


async def test_type_limit(queue: JobQueue) -> None:
    await queue.control.set_limits(types={"scan": 1})
    hand = Hand(queue)
    first, second = await enqueue(queue), await enqueue(queue)
    other = await enqueue(queue, job_type="train")
    assert {job.job_id for job in await hand.take(3)} == {first, other}
    assert await waiting(queue, second) == Waiting(reason="type_limit", ahead_own=0, position=1)


async def test_due_time_back_off_and_dependency(queue: JobQueue, valkey: ValkeyServer) -> None:
    seconds, micros = valkey.client.time()  # type: ignore[misc]
    later = await enqueue(queue, due=(seconds + 100) * 1_000_000 + micros)
    seen = await waiting(queue, later)
    assert (seen.reason, seen.ahead_own, seen.position) == ("scheduled", None, None)
    assert seen.eta_seconds is not None and 95 < seen.eta_seconds <= 100
    child = await enqueue(queue, depends_on=(later,))
    seen = await waiting(queue, child)
    assert (seen.reason, seen.detail, seen.eta_seconds) == ("dependency", later, None)
    retried, hand = await enqueue(queue, "bob", max_attempts=2), Hand(queue)
    (claimed,) = await hand.take()
    await hand.consumer.finish([Ended(claimed, Failed("E: x"))])
    seen = await waiting(queue, retried)
    assert seen.reason == "retry_backoff" and seen.eta_seconds is not None and seen.eta_seconds <= 1.3
    await queue.producer.cancel(child)


async def test_stopping_previous(queue: JobQueue) -> None:
    hand, job_id = Hand(queue), await enqueue(queue)
    (claimed,) = await hand.take()
    await queue.producer.cancel(job_id)
    await queue.producer.restart(job_id)
    assert (await waiting(queue, job_id)).reason == "stopping_previous"
    assert await hand.consumer.finish([Ended(claimed, Completed())]) == ["cancelled"]
    assert (await waiting(queue, job_id)).reason == "behind_others"


async def test_no_worker(queue: JobQueue, valkey: ValkeyServer) -> None:
    job_id = await enqueue(queue)
    valkey.client.hset("rq:x:worker:w", "beat", 1)
    assert (await waiting(queue, job_id)).reason == "no_worker"
    with LeaseRenewerOf(valkey, queue) as renewer:
        renewer.renew([], state="idle", rss_mb=1)
    assert (await waiting(queue, job_id)).reason == "behind_others"
    await queue.control.drain("w")
    assert (await waiting(queue, job_id)).reason == "no_worker", "it takes no jobs any more"
    valkey.client.hdel("rq:x:worker:w", "drain")
    assert (await waiting(queue, job_id)).reason == "behind_others"
    await queue.presence.remove_worker()
    assert await waiting(queue, job_id) == Waiting(reason="no_worker", detail="default", ahead_own=0, position=1)


class LeaseRenewerOf:
    def __init__(self, valkey: ValkeyServer, queue: JobQueue) -> None:
        self._renewer = LeaseRenewer(valkey.url, queue.namespace.keys, "w", lease_us=LEASE_US, timeout=5)

    def __enter__(self) -> LeaseRenewer:
        return self._renewer

    def __exit__(self, *_: object) -> None:
        self._renewer.close()


async def test_the_estimate_comes_from_run_times_of_the_type(queue: JobQueue, valkey: ValkeyServer) -> None:
    await queue.control.set_limits(total=10, per_user=1)
    hand = Hand(queue)
    ids = [await enqueue(queue) for _ in range(5)]
    (first,) = await hand.take()
    assert (await waiting(queue, ids[4])).eta_seconds is None, "no job of this type has ended yet"
    await hand.end(first)
    mean = int(valkey.client.hget("rq:x:times", "scan").split()[0])  # type: ignore[union-attr]
    valkey.client.hset("rq:x:times", "scan", f"{60_000_000} 1")
    await hand.take()
    assert [(await waiting(queue, job_id)).eta_seconds for job_id in ids[2:]] == [60, 120, 180]
    assert 0 < mean < 10_000_000
    assert (await waiting(queue, await enqueue(queue, "bob", job_type="train"))).eta_seconds is None


async def test_a_cancelled_job_is_ahead_of_nobody(queue: JobQueue) -> None:
    ids = [await enqueue(queue) for _ in range(6)]
    assert (await waiting(queue, ids[5])).ahead_own == 5
    for job_id in (ids[0], ids[4]):
        await queue.producer.cancel(job_id)
    seen = await waiting(queue, ids[5])
    assert (seen.ahead_own, seen.position) == (3, 4)


@pytest.mark.parametrize("seed", range(6))
async def test_ahead_own_is_exact_and_position_an_upper_bound(queue: JobQueue, seed: int) -> None:
    """What is said of every waiting job is what happens: all that start are written down in their order."""
    rng, hand = random.Random(seed), Hand(queue)
    per_user = rng.choice([1, 2, 3])
    await queue.control.set_limits(total=rng.choice([2, 4, 10]), per_user=per_user)
    running: list[Claimed] = []
    for step in range(60):
        user, priority = rng.choice(["ann", "bob"]), rng.choice(PRIORITIES)
        job_id = await enqueue(queue, user, priority=priority)
        if rng.random() < 0.2:
            await queue.producer.cancel(job_id)
        if step % 5 == 0:
            running += await hand.take(1)
        if running and rng.random() < 0.1:
            await end_any(hand, running)
        if running and rng.random() < 0.05:
            await queue.producer.cancel(running[-1].job_id)
    jobs = list((await queue.inspector.page(states=["pending"], limit=500)).jobs)
    await queue.inspector.explain(jobs)
    said = {job.job_id: (job.user_id, job.waiting) for job in jobs}
    order: dict[str, list[str]] = {"ann": [], "bob": []}
    started: list[str] = []
    while jobs_left := len(said) - len(started):
        taken = await hand.take(rng.choice([1, 2]))
        started += [job.job_id for job in taken]
        for job in taken:
            order[job.user_id].append(job.job_id)
        running += taken
        assert running, jobs_left
        await end_any(hand, running)
    for place, job_id in enumerate(started, 1):
        user, seen = said[job_id]
        assert seen is not None and seen.ahead_own == order[user].index(job_id)
        assert seen.position is not None and seen.position >= place
    while running:
        await end_any(hand, running)


async def end_any(hand: Hand, running: list[Claimed]) -> None:
    job = running.pop(0)
    assert (await hand.consumer.finish([Ended(job, Completed())]))[0] in ("ok", "cancelled")


async def test_the_cost_does_not_grow_with_the_line(queue: JobQueue) -> None:
    """No command that walks a line: what is asked is the same for ten waiting jobs as for a thousand."""

    async def commands(job_id: str) -> dict[str, int]:
        await queue.namespace.call("CONFIG", "RESETSTAT")
        await waiting(queue, job_id)
        stats = (await queue.namespace.call("INFO", "commandstats")).decode()
        calls = [line.split(":") for line in stats.split() if line.startswith("cmdstat_")]
        return {name: int(rest.split("calls=")[1].split(",")[0]) for name, rest in calls}

    ids = [await enqueue(queue) for _ in range(10)]
    few = await commands(ids[-1])
    jobs = [NewJob(job_id=str(uuid.uuid4()), function="a.b", user_id="ann", job_type="scan") for _ in range(1000)]
    await queue.producer.enqueue_many(jobs)
    many = await commands(jobs[-1].job_id)
    assert {name: count for name, count in many.items() if "info" not in name} == {
        name: count for name, count in few.items() if "info" not in name
    }
    assert not {"cmdstat_lrange", "cmdstat_zrange", "cmdstat_lpos", "cmdstat_scan"} & set(many)

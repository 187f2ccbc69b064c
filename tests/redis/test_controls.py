"""Limits and pauses of single users and types, and what a user's better jobs do to his others.

Nobody who may run stands behind somebody who may not.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from conftest import ValkeyServer, settings_for

from jobqueue import Claimed, Completed, Consumer, Ended, JobQueue, Lane, NewJob, Outcome, Released
from jobqueue.errors import UnknownWorker
from jobqueue.job import Priority

LEASE_US = 60_000_000
ENDED = Completed()


@pytest.fixture
async def queue(valkey: ValkeyServer, tmp_path: Path) -> AsyncIterator[JobQueue]:
    queue = await JobQueue.open(settings_for(valkey.url, tmp_path), name="w")
    await queue.register_worker()
    await queue.control.set_limits(total=100, per_user=3)
    yield queue
    await queue.close()


class Hand:
    """A worker whose every step is one call."""

    def __init__(self, queue: JobQueue) -> None:
        self.lane = Lane(queue.namespace, "w", 0, ("default", "gpu"), LEASE_US)
        self.consumer = Consumer(queue.namespace, "w")
        self.held: dict[str, Claimed] = {}

    async def take(self, want: int = 10) -> list[str]:
        jobs = (await self.lane.advance([], want)).jobs
        self.held |= {job.job_id: job for job in jobs}
        return [job.job_id for job in jobs]

    async def end(self, *ids: str, outcome: Outcome = ENDED) -> list[str]:
        """The verdicts; all that it holds when no ids are given."""
        ended = [Ended(self.held.pop(job_id), outcome) for job_id in ids or list(self.held)]
        return list(await self.consumer.finish(ended))

    def users(self) -> list[str]:
        return [job.user_id for job in self.held.values()]


def new(user: str = "ann", job_type: str = "", priority: Priority = "normal", queue: str = "default") -> NewJob:
    return NewJob(
        job_id=str(uuid.uuid4()), function="a.b", user_id=user, job_type=job_type, priority=priority, queue=queue
    )


async def put(queue: JobQueue, *jobs: NewJob) -> list[str]:
    return [job.job_id for job in await queue.producer.enqueue_many(jobs) if not isinstance(job, Exception)]


def listed(valkey: ValkeyServer, name: str = "default") -> list[str]:
    return [job_id.decode() for job_id in valkey.client.lrange(f"rq:queue:{name}", 0, -1)]


# types


async def test_a_paused_type_stands_before_nobody(queue: JobQueue) -> None:
    hand = Hand(queue)
    scans = await put(queue, *[new(job_type="scan") for _ in range(50)])
    await queue.control.pause("type", "scan")
    others = await put(queue, *[new(job_type="train") for _ in range(2)])
    bobs = await put(queue, new("bob", "scan"), new("bob", "train"))
    assert set(await hand.take()) == {*others, bobs[1]}
    assert await hand.take() == []
    await queue.control.resume("type", "scan")
    await hand.end()
    assert set(await hand.take()) == {*scans[:3], bobs[0]}, "each in its old place, as far as the limits allow"


async def test_those_who_waited_when_a_type_was_paused_are_sorted_out_in_bounded_steps(
    queue: JobQueue, valkey: ValkeyServer
) -> None:
    hand = Hand(queue)
    await put(queue, *[new(job_type="scan") for _ in range(2300)])
    other = (await put(queue, new(job_type="train")))[0]
    await queue.control.pause("type", "scan")
    steps = 0
    while await queue.namespace.run("sort_lines", {"batch": 500}):
        steps += 1
        assert steps < 10
    assert steps >= 4
    assert await hand.take() == [other]
    assert valkey.client.zcard("rq:rl:user:ann:rate_limited") == 0
    assert valkey.client.zcard("rq:x:line:ann:scan") == 2300
    await queue.control.resume("type", "scan")


async def test_a_type_at_its_limit(queue: JobQueue, valkey: ValkeyServer) -> None:
    hand = Hand(queue)
    await queue.control.set_limits(types={"scan": 2})
    scans = await put(queue, *[new(user, "scan") for user in ("ann", "bob", "cat") for _ in range(3)])
    train = await put(queue, new("cat", "train"))
    taken = await hand.take()
    running = [job_id for job_id in taken if job_id in scans]
    assert len(running) == 2 and train[0] in taken
    for _ in range(7):
        await hand.end(running.pop(0))
        (following,) = await hand.take()
        running.append(following)
        assert valkey.client.scard("rq:x:places:scan") == 2
    assert await hand.take() == []


async def test_users_take_turns_at_the_places_of_a_type(queue: JobQueue) -> None:
    hand = Hand(queue)
    await queue.control.set_limits(types={"scan": 1})
    await put(queue, *[new("ann", "scan") for _ in range(20)])
    await put(queue, *[new(user, "scan") for user in ("bob", "cat") for _ in range(3)])
    users = []
    for _ in range(9):
        assert len(await hand.take()) == 1
        users += hand.users()
        await hand.end()
    assert all(users.count(user) == 3 for user in ("ann", "bob", "cat")), users


async def test_a_limit_of_a_type_is_in_force_at_the_next_claim_and_kills_nothing(queue: JobQueue) -> None:
    hand = Hand(queue)
    await put(queue, *[new(user, "scan") for user in ("ann", "bob") for _ in range(6)])
    assert len(await hand.take(4)) == 4
    first, second, *_ = hand.held
    await queue.control.set_limits(types={"scan": 3})
    assert await hand.take() == []
    await hand.end(first)
    assert await hand.take() == [], "three run still"
    await hand.end(second)
    assert len(await hand.take()) == 1
    await queue.control.set_limits(types={"scan": None})
    assert len(await hand.take()) == 3, "without a limit of its own only the users' limits count"


async def test_a_paused_user_holds_no_place_of_a_type(queue: JobQueue) -> None:
    hand = Hand(queue)
    await queue.control.set_limits(types={"scan": 1})
    anns = await put(queue, new("ann", "scan"))
    bobs = await put(queue, new("bob", "scan"))
    await queue.control.pause("user", "ann")
    assert await hand.take() == bobs
    await queue.control.resume("user", "ann")
    assert await hand.take() == []
    await hand.end()
    assert await hand.take() == anns


async def test_a_cancelled_job_keeps_the_place_of_its_type_until_it_has_stopped(queue: JobQueue) -> None:
    hand = Hand(queue)
    await queue.control.set_limits(types={"scan": 1})
    first, second = await put(queue, new("ann", "scan"), new("ann", "scan"))
    assert await hand.take() == [first]
    await queue.producer.cancel(first)
    assert await hand.take() == []
    assert await hand.end() == ["cancelled"]
    assert await hand.take() == [second]


# users


async def test_a_paused_user(queue: JobQueue) -> None:
    hand = Hand(queue)
    anns = await put(queue, *[new("ann") for _ in range(5)])
    await queue.control.pause("user", "ann")
    bobs = await put(queue, new("bob"))
    late = await put(queue, new("ann"))
    assert await hand.take() == bobs
    await queue.control.resume("user", "ann")
    assert await hand.take() == anns[:3], "they come back to their places"
    await hand.end()
    assert await hand.take() == [*anns[3:], *late]


async def test_a_limit_of_a_single_user(queue: JobQueue) -> None:
    hand = Hand(queue)
    await queue.control.set_limits(users={"ann": 5, "bob": 1})
    await put(queue, *[new(user) for user in ("ann", "bob", "cat") for _ in range(8)])
    await hand.take(20)
    users = hand.users()
    assert [users.count(user) for user in ("ann", "bob", "cat")] == [5, 1, 3]
    await queue.control.set_limits(users={"bob": None})
    assert len(await hand.take(20)) == 2


async def test_everything_paused_by_rqs_own_switch(queue: JobQueue, valkey: ValkeyServer) -> None:
    hand, ids = Hand(queue), await put(queue, new())
    assert await queue.control.pause("queue")
    assert valkey.client.get("rq:suspended") == b"1"
    assert await hand.take() == []
    assert (await queue.control.read()).queue_paused
    assert await queue.control.resume("queue")
    assert await hand.take() == ids


async def test_what_is_in_force_can_be_read(queue: JobQueue) -> None:
    await queue.control.set_limits(users={"ann": 5}, types={"scan": 2, "train": None})
    await queue.control.pause("user", "bob")
    await queue.control.pause("type", "scan")
    seen = await queue.control.read()
    assert (seen.total, seen.per_user, seen.total_is_set) == (100, 3, True)
    assert (seen.users, seen.types) == ({"ann": 5}, {"scan": 2})
    assert (seen.queue_paused, seen.paused_users, seen.paused_types) == (False, ("bob",), ("scan",))
    await queue.control.reset_limits()
    assert (await queue.control.read()).total_is_set is False


# priorities


async def test_urgent_overtakes_those_admitted_but_not_started_and_nobody_elses(
    queue: JobQueue, valkey: ValkeyServer
) -> None:
    anns = await put(queue, *[new("ann") for _ in range(3)])
    bobs = await put(queue, *[new("bob") for _ in range(2)])
    urgent = await put(queue, new("ann", priority="urgent"))
    assert listed(valkey) == [urgent[0], *anns[:2], *bobs], "ann's places stay where they were"
    low = await put(queue, new("bob", priority="low"))
    assert listed(valkey) == [urgent[0], *anns[:2], *bobs, *low]
    normal = await put(queue, new("bob"))
    assert listed(valkey) == [urgent[0], *anns[:2], *bobs, *normal]
    assert await Hand(queue).take(3) == [urgent[0], *anns[:2]]


async def test_a_job_that_is_given_back_is_first_again(queue: JobQueue, valkey: ValkeyServer) -> None:
    hand = Hand(queue)
    ids = await put(queue, *[new("ann") for _ in range(5)])
    await queue.control.set_limits(per_user=2)
    await hand.take(1)
    await hand.end(outcome=Released())
    assert await hand.take(2) == ids[:2]


async def test_overtaking_between_queues(queue: JobQueue, valkey: ValkeyServer) -> None:
    await queue.control.set_limits(per_user=1)
    normal = await put(queue, new("ann"))
    urgent = await put(queue, new("ann", priority="urgent", queue="gpu"))
    assert (listed(valkey), listed(valkey, "gpu")) == ([], urgent)
    hand = Hand(queue)
    assert await hand.take() == urgent
    await hand.end()
    assert await hand.take() == normal


async def test_a_parked_job_gives_way_to_an_urgent_one(queue: JobQueue) -> None:
    await queue.control.set_limits(per_user=2)
    hand, ids = Hand(queue), await put(queue, *[new("ann") for _ in range(2)])
    assert await hand.take(1) == ids[:1]
    await queue.control.set_limits(per_user=1)
    assert await hand.take() == [], "the second is parked: the limit was lowered"
    urgent = await put(queue, new("ann", priority="urgent"))
    await hand.end()
    assert await hand.take() == urgent
    await hand.end()
    assert await hand.take() == ids[1:]


# drain


async def test_a_draining_worker_gets_nothing_and_is_told_so(queue: JobQueue) -> None:
    hand, ids = Hand(queue), await put(queue, new())
    assert await queue.control.drain("w") is True
    assert await queue.control.drain("w") is False
    batch = await hand.lane.advance([], 5)
    assert (batch.jobs, batch.shortage) == ([], "draining")
    assert [worker.draining for worker in (await queue.inspector.stats()).workers] == [True]
    await queue.register_worker()
    assert (await hand.lane.advance([], 5)).shortage == "draining", "registering again changes nothing"
    with pytest.raises(UnknownWorker):
        await queue.control.drain("nobody")
    await queue.producer.cancel(ids[0])


# bad records


async def test_a_record_with_nonsense_is_set_aside_when_it_may_not_run(queue: JobQueue, valkey: ValkeyServer) -> None:
    hand, core = Hand(queue), "\x1f".join(["ann", "+", "default", "", "1", "1", "1", "rest"])
    bad, late, good = await put(queue, new("ann"), new("bob"), new("cat"))
    for job_id in (bad, late):
        valkey.client.hset(f"rq:job:{job_id}", "x_core", core)
    valkey.client.zadd("rq:x:deadlines", {late: 1})
    await queue.control.pause("user", "ann")
    assert await hand.take() == [good]
    assert valkey.client.smembers("rq:x:damaged") == {bad.encode(), late.encode()}
    valkey.client.flushall()


async def test_whoever_is_let_in_for_one_that_came_too_late_is_taken_in_the_same_call(
    queue: JobQueue, valkey: ValkeyServer
) -> None:
    await queue.control.set_limits(per_user=1)
    late, following = await put(queue, new("ann"), new("ann"))
    valkey.client.hset(f"rq:job:{late}", "x_expires", 1)
    valkey.client.zadd("rq:x:deadlines", {late: 1})
    assert await Hand(queue).take() == [following]

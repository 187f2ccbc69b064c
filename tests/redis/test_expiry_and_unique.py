"""Deadlines for the start of a job, unique keys, and the deletion of jobs that have ended."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import pytest
from hands import Hands, new

from jobqueue import Completed, Failed, NewJob, Released
from jobqueue.errors import JobNotFound, StillStopping, UniqueKeyTaken, WrongState
from jobqueue.wire import Argument

FAILED = Failed("ValueError: x", permanent=True)
NOT_IN_TIME = "expired: it was not started in time"


def let_pass(hands: Hands, *jobs: NewJob) -> None:
    """Their deadline is over: what the clock would bring."""
    assert hands.client.zadd("rq:x:deadlines", {job.job_id: 1 for job in jobs}, xx=True, ch=True) == len(jobs)


# deadlines


async def test_a_job_is_never_taken_after_its_deadline(hands: Hands) -> None:
    late, good, other = new(expires_in=1000), new(), new("bob", expires_in=1000)
    child = new(depends_on=[late.job_id])
    await hands.add(late, good, other, child)
    let_pass(hands, late)
    assert sorted(await hands.take()) == sorted([good.job_id, other.job_id]), "no tick has run"
    found = await hands.get(late)
    assert (found.state, found.reason, found.attempt, found.expires_in) == ("cancelled", NOT_IN_TIME, 0, 1000)
    assert await hands.states(child) == ["cancelled"]
    assert hands.client.zcard("rq:x:deadlines") == 0
    assert 0 < hands.client.ttl(f"rq:job:{late.job_id}") <= 7200


async def test_a_job_that_is_let_in_and_taken_by_one_call_is_held_to_its_deadline(hands: Hands) -> None:
    """The call that ends a job lets the next one in and may take it at once."""
    await hands.queue.control.set_limits(total=10, per_user=1)
    first, late, third = new(), new(expires_in=1000), new()
    await hands.add(first, late, third)
    await hands.start(first)
    let_pass(hands, late)
    taken = await hands.turn({first.job_id: Completed(1)})
    assert late.job_id not in taken
    assert (await hands.states(late), hands.status(late)) == (["cancelled"], "canceled")
    assert taken == [third.job_id] or await hands.take() == [third.job_id]


async def test_a_tick_cancels_what_was_not_started_in_time(hands: Hands) -> None:
    waiting = [new(expires_in=1000) for _ in range(5)]
    scheduled, kept = new(expires_in=1000, due=4 * 10**15), new(expires_in=1000)
    parent = new("bob")
    deferred = new("bob", depends_on=[parent.job_id], expires_in=1000)
    await hands.add(*waiting, scheduled, kept, parent, deferred)
    let_pass(hands, *waiting, scheduled, deferred)
    await hands.tick()
    late = [*waiting, scheduled, deferred]
    assert await hands.states(*late) == ["cancelled"] * 7
    assert {(await hands.get(job)).reason for job in late} == {NOT_IN_TIME}
    assert hands.client.zcard("rq:scheduled:default") == hands.client.zcard("rq:deferred:default") == 0
    assert hands.client.zrange("rq:x:deadlines", 0, -1) == [kept.job_id.encode()]
    assert sorted(await hands.take()) == sorted([kept.job_id, parent.job_id])


@pytest.mark.parametrize("delay", [None, 1000])
async def test_the_deadline_counts_from_the_due_time_or_the_submission(hands: Hands, delay: int | None) -> None:
    job = new(expires_in=77, delay_seconds=delay)
    await hands.add(job)
    found = await hands.get(job)
    expected = pytest.approx((found.due_at or found.created_at) + 77e6, abs=1e5)
    assert hands.client.zscore("rq:x:deadlines", job.job_id) == expected
    hands.client.delete("rq:x:deadlines")
    await hands.clean()
    assert hands.client.zscore("rq:x:deadlines", job.job_id) == expected, "also when it was lost"


@pytest.mark.parametrize("outcome", [Released(), Failed("x")], ids=["released", "retried"])
async def test_a_job_that_has_started_has_met_its_deadline(hands: Hands, outcome: Released | Failed) -> None:
    job = new(expires_in=1000, max_attempts=2)
    await hands.add(job)
    await hands.start(job)
    assert hands.client.zcard("rq:x:deadlines") == 0
    await hands.end(job, outcome)
    await hands.tick()
    await hands.clean()
    assert hands.client.zcard("rq:x:deadlines") == 0
    assert await hands.states(job) == ["pending"]


async def test_a_restart_gives_a_job_its_whole_time_again(hands: Hands) -> None:
    job = new(expires_in=1000)
    await hands.add(job)
    let_pass(hands, job)
    await hands.tick()
    await hands.queue.producer.restart(job.job_id)
    score = hands.client.zscore("rq:x:deadlines", job.job_id)
    assert score == pytest.approx(hands.now() + 1000e6, abs=1e6)
    assert (await hands.get(job)).reason is None
    # Lost, long after its first submission.
    hands.client.delete("rq:x:deadlines")
    created = str((await hands.get(job)).created_at)[:-6].encode()
    core = hands.client.hget(f"rq:job:{job.job_id}", "x_core")
    assert core.count(created) == 1
    hands.client.hset(f"rq:job:{job.job_id}", "x_core", core.replace(created, b"1700000000"))
    await hands.clean()
    found = hands.client.zscore("rq:x:deadlines", job.job_id)
    assert found == pytest.approx(score, abs=1e6)
    let_pass(hands, job)
    await hands.tick()
    assert await hands.states(job) == ["cancelled"]


async def test_very_many_end_in_batches(hands: Hands) -> None:
    jobs = [new(f"u{n % 7}", expires_in=1000) for n in range(1200)]
    await hands.add(*jobs)
    let_pass(hands, *jobs)
    most, run = 0, hands.queue.namespace.run

    async def counted(name: str, given: Mapping[str, Argument], items: Sequence[Argument] = ()) -> Any:
        nonlocal most
        before = hands.client.zcard("rq:canceled:default")
        reply = await run(name, given, items)
        most = max(most, hands.client.zcard("rq:canceled:default") - before)
        return reply

    hands.queue.namespace.run = counted  # type: ignore[method-assign]
    assert await hands.tick_through() >= 3
    assert 0 < most <= 500
    assert set(await hands.states(*jobs)) == {"cancelled"}


@pytest.mark.parametrize(
    ("field", "value"), [("x_run", "?"), ("x_core", "?"), ("x_keep", "long"), ("x_keep", "9" * 30), ("x_progress", "?")]
)
async def test_nonsense_in_a_late_job_holds_up_no_other(hands: Hands, field: str, value: str) -> None:
    one, bad, two, good = new(expires_in=1000), new(expires_in=1000), new(expires_in=1000), new()
    await hands.add(one, bad, two, good)
    hands.client.hset(f"rq:job:{bad.job_id}", field, value)
    let_pass(hands, one, bad, two)
    await hands.tick_through()
    assert await hands.states(one, two) == ["cancelled"] * 2
    assert good.job_id in await hands.take()
    hands.client.flushall()


# unique keys


async def test_a_second_submission_is_answered_with_the_live_job(hands: Hands) -> None:
    first, second, other, plain = (new(unique_key="k"), new(unique_key="k"), new(unique_key="l"), new())
    theirs = new("bob", unique_key="k")
    enqueue = hands.queue.producer.enqueue
    assert (await enqueue(first)).created
    answer = await enqueue(second)
    assert (answer.job_id, answer.state, answer.created) == (first.job_id, "pending", False)
    assert await hands.states(second) == ["gone"]
    for job in (other, theirs, plain):
        assert (await enqueue(job)).created
    await hands.start(first)
    assert (await enqueue(second)).state == "running"
    assert (await enqueue(first)).job_id == first.job_id, "the same submission again"


@pytest.mark.parametrize("end", ["completed", "failed", "cancelled", "removed", "expired"])
async def test_after_its_end_the_next_one_may_come(hands: Hands, end: str) -> None:
    first, second = new(unique_key="k"), new(unique_key="k")
    await hands.add(first)
    if end == "cancelled":
        await hands.queue.producer.cancel(first.job_id)
    else:
        await hands.run(first, FAILED if end == "failed" else None)
    if end == "removed":
        await hands.queue.producer.remove(first.job_id)
    elif end == "expired":
        hands.let_expire(first)
    answer = await hands.queue.producer.enqueue(second)
    assert (answer.job_id, answer.created) == (second.job_id, True)
    assert not (await hands.queue.producer.enqueue(new(unique_key="k"))).created


async def test_of_many_at_once_exactly_one_is_made(hands: Hands) -> None:
    jobs = [new(unique_key="k") for _ in range(50)]
    answers = await asyncio.gather(*(hands.queue.producer.enqueue(job) for job in jobs))
    assert sum(answer.created for answer in answers) == 1
    assert len({answer.job_id for answer in answers}) == 1
    assert (await hands.queue.inspector.stats()).counts["pending"] == 1


async def test_within_one_batch_the_first_is_made(hands: Hands) -> None:
    jobs = [new(unique_key="k", due=4 * 10**15), new(unique_key="k"), new("bob", unique_key="k"), new(unique_key="k")]
    answers = await hands.queue.producer.enqueue_many(jobs)
    assert [(getattr(a, "job_id", ""), getattr(a, "state", ""), getattr(a, "created", None)) for a in answers] == [
        (jobs[0].job_id, "scheduled", True), (jobs[0].job_id, "scheduled", False),
        (jobs[2].job_id, "pending", True), (jobs[0].job_id, "scheduled", False),
    ]  # fmt: skip


async def test_a_restart_needs_the_key_as_well(hands: Hands) -> None:
    first, second = new(unique_key="k"), new(unique_key="k")
    await hands.add(first)
    await hands.run(first, FAILED)
    await hands.add(second)
    with pytest.raises(UniqueKeyTaken) as caught:
        await hands.queue.producer.restart(first.job_id)
    assert caught.value.job_id == second.job_id
    assert (await hands.get(first)).restarts == 0
    await hands.queue.producer.cancel(second.job_id)
    await hands.queue.producer.restart(first.job_id)
    assert (await hands.queue.producer.enqueue(new(unique_key="k"))).job_id == first.job_id


async def test_the_cleanup_forgets_keys_of_the_dead_and_finds_lost_ones(hands: Hands) -> None:
    live, dead = new(unique_key="live"), new(unique_key="dead")
    await hands.add(dead, live)
    await hands.run(dead)
    hands.client.hdel("rq:x:unique", *[
        token for token, job_id in hands.client.hgetall("rq:x:unique").items() if job_id.decode() == live.job_id
    ])  # fmt: skip
    assert len(hands.client.hvals("rq:x:unique")) == 1
    await hands.clean()
    assert hands.client.hvals("rq:x:unique") == [live.job_id.encode()]


# deletion


@pytest.mark.parametrize("end", ["completed", "failed", "cancelled"])
async def test_deletion_takes_every_key_and_tells(hands: Hands, end: str) -> None:
    parent = new("bob")
    job = new(depends_on=[], job_type="t", max_attempts=3, expires_in=1000, unique_key="k")
    await hands.add(parent, job)
    child = new(depends_on=[job.job_id])
    await hands.add(child)
    if end == "cancelled":
        await hands.queue.producer.cancel(job.job_id)
    else:
        await hands.run(job, FAILED if end == "failed" else None)
    # A stock job that goes on waiting for it, as RQ lets it.
    hands.client.sadd(f"rq:job:{job.job_id}:dependents", "stock")
    listener = hands.client.pubsub()
    listener.subscribe("rq:x:events")
    assert listener.get_message(timeout=5)["type"] == "subscribe"
    await hands.queue.producer.remove(job.job_id)
    rows = orjson.loads(listener.get_message(timeout=5)["data"])["jobs"]
    listener.close()
    assert [[row[0], row[1], *row[5:]] for row in rows] == [[job.job_id, "deleted", "ann", "t"]]
    assert not list(hands.client.scan_iter(f"*{job.job_id}*"))
    holders = [key for key in hands.client.scan_iter() if holds(hands, key, job.job_id.encode())]
    assert set(holders) <= {b"rq:x:unique", f"rq:job:{child.job_id}".encode(),
                            f"rq:job::{child.job_id}:dependencies".encode()}  # fmt: skip
    with pytest.raises(JobNotFound):
        await hands.queue.producer.remove(job.job_id)
    assert (await hands.queue.inspector.page(user_id="ann")).jobs[-1].job_id == child.job_id


def holds(hands: Hands, key: bytes, job_id: bytes) -> bool:
    kind = hands.client.type(key)
    if kind == b"zset":
        return any(job_id in member for member in hands.client.zrange(key, 0, -1))
    if kind == b"set":
        return any(job_id in member for member in hands.client.smembers(key))
    if kind == b"list":
        return job_id in hands.client.lrange(key, 0, -1)
    return kind == b"hash" and any(job_id in value for value in hands.client.hvals(key) if key != b"rq:x:worker:test")


async def test_only_what_has_ended_is_deleted(hands: Hands) -> None:
    running, pending, scheduled = new(), new("bob"), new(due=4 * 10**15)
    await hands.add(running, scheduled)
    await hands.start(running)
    await hands.add(pending)
    for job, state in ((running, "running"), (pending, "pending"), (scheduled, "scheduled")):
        with pytest.raises(WrongState) as caught:
            await hands.queue.producer.remove(job.job_id)
        assert caught.value.current == state
    await hands.queue.producer.cancel(running.job_id)
    with pytest.raises(StillStopping):
        await hands.queue.producer.remove(running.job_id)
    assert await hands.states(running) == ["cancelled"]
    await hands.stop(running)
    await hands.queue.producer.remove(running.job_id)
    assert await hands.states(running, pending, scheduled) == ["gone", "pending", "scheduled"]

"""The other ends of jobs that others wait for, and how a job that has waited goes on."""

from __future__ import annotations

import pytest
from hands import Hands, after, new

from jobqueue import Failed
from jobqueue.errors import DependencyEnded

FAILED = Failed("ValueError: x", permanent=True)


async def test_a_dependent_that_was_cancelled_stays_cancelled(hands: Hands) -> None:
    parent = new()
    child = after(parent)
    grandchild = after(child)
    await hands.add(parent, child, grandchild)
    assert (await hands.queue.producer.cancel(child.job_id)).changed
    assert await hands.states(child, grandchild) == ["cancelled", "cancelled"]
    assert (await hands.get(child)).reason is None
    assert hands.client.zcard("rq:deferred:default") == 0
    await hands.run(parent)
    assert await hands.states(parent, child, grandchild) == ["completed", "cancelled", "cancelled"]


@pytest.mark.parametrize("is_running", [False, True], ids=["pending", "running"])
async def test_a_parent_that_is_cancelled_takes_its_dependents_with_it(hands: Hands, is_running: bool) -> None:
    parent = new()
    child = after(parent)
    await hands.add(parent, child)
    if is_running:
        await hands.start(parent)
    await hands.queue.producer.cancel(parent.job_id)
    assert await hands.states(parent, child) == ["cancelled", "cancelled"]
    assert (await hands.get(child)).reason == f"job {parent.job_id}, which it depends on, is cancelled"


async def test_a_parent_that_lost_too_many_workers(hands: Hands) -> None:
    parent = new(max_lost_attempts=2)
    child, other = after(parent), after(parent, on_failure="run")
    await hands.add(parent, child, other)
    await hands.start(parent)
    await hands.lose(parent)
    assert [hands.status(job) for job in (parent, child, other)] == ["queued", "deferred", "deferred"]
    await hands.start(parent)
    await hands.lose(parent)
    assert await hands.states(parent, child, other) == ["failed", "cancelled", "pending"]
    assert await hands.take() == [other.job_id]


async def test_the_deadline_of_a_parent_cancels_its_dependents(hands: Hands) -> None:
    parent = new(expires_in=1000)
    child = after(parent)
    await hands.add(parent, child)
    hands.client.zadd("rq:x:deadlines", {parent.job_id: 1})
    await hands.tick()
    assert await hands.states(parent, child) == ["cancelled", "cancelled"]


async def test_a_dependent_takes_its_place_by_its_creation(hands: Hands) -> None:
    await hands.queue.control.set_limits(total=1, per_user=1)
    parent = new()
    before = new()
    child = after(parent)
    later = [new() for _ in range(3)]
    await hands.add(parent, before, child, *later)
    order = []
    for _ in range(6):
        (job_id,) = await hands.take(1)
        order.append(job_id)
        await hands.end(job_id)
    assert order == [job.job_id for job in (parent, before, child, *later)]


async def test_a_due_time_and_a_dependency_must_both_be_over(hands: Hands) -> None:
    parent = new()
    late, soon = after(parent, due=4 * 10**15), after(parent, delay_seconds=0)
    await hands.add(parent, late, soon)
    assert await hands.states(late, soon) == ["pending", "pending"]
    await hands.run(parent)
    assert await hands.states(late, soon) == ["scheduled", "pending"]
    assert await hands.take() == [soon.job_id]
    hands.let_due(late)
    await hands.tick()
    assert await hands.take() == [late.job_id]
    answer = await hands.queue.producer.enqueue(after(parent, due=4 * 10**15))
    assert answer.state == "scheduled"


async def test_restart_of_a_dependent(hands: Hands) -> None:
    parent = new()
    child = after(parent)
    await hands.add(parent, child)
    await hands.run(parent, FAILED)
    # Cancelled at once: its parent had failed before it came.
    other = after(parent)
    await hands.add(other)
    restart = hands.queue.producer.restart
    for job in (child, other):
        with pytest.raises(DependencyEnded) as caught:
            await restart(job.job_id)
        assert (caught.value.job_id, caught.value.state) == (parent.job_id, "failed")
        assert await hands.states(job) == ["cancelled"]
    await restart(parent.job_id)
    await restart(child.job_id)
    await restart(other.job_id)
    assert [hands.status(job) for job in (parent, child, other)] == ["queued", "deferred", "deferred"]
    assert (await hands.get(child)).reason is None
    await hands.run(parent)
    assert await hands.take() == [child.job_id, other.job_id]
    for job in (child, other):
        await hands.end(job, FAILED)
    await hands.queue.producer.remove(parent.job_id)
    await restart(child.job_id)
    assert await hands.take() == [child.job_id]

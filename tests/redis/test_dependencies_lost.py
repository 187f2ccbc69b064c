"""Jobs that wait for others beside stock RQ, and when a part of what is remembered of them is lost or nonsense."""

from __future__ import annotations

import pytest
import rq
from hands import Hands, after, new
from rq.job import Job as StockJob
from rq.serializers import JSONSerializer

from jobqueue import Failed, NewJob

FAILED = Failed("ValueError: x", permanent=True)


def fetch(hands: Hands, job: NewJob) -> StockJob:
    return StockJob.fetch(job.job_id, connection=hands.client, serializer=JSONSerializer)


# beside stock RQ


async def test_stock_rq_reads_what_a_job_waits_for(hands: Hands, stock: rq.Queue) -> None:
    one, two = new(), new()
    child, other = after(one, two), after(one, on_failure="run")
    await hands.add(one, two, child, other)
    job = fetch(hands, child)
    assert (job.get_status(), set(job.dependency_ids)) == ("deferred", {one.job_id, two.job_id})
    assert [parent.id for parent in job.fetch_dependencies()] == [one.job_id, two.job_id]
    assert (job.allow_dependency_failures, fetch(hands, other).allow_dependency_failures) == (False, True)
    assert set(stock.deferred_job_registry.get_job_ids()) == {child.job_id, other.job_id}
    assert set(fetch(hands, one).dependent_ids) == {child.job_id, other.job_id}
    assert {found.decode() for found in hands.client.smembers(f"rq:job::{child.job_id}:dependencies")} == {
        one.job_id, two.job_id,
    }  # fmt: skip
    assert not job.dependencies_are_met()
    await hands.run(one)
    await hands.end(two)
    assert fetch(hands, child).dependencies_are_met()
    assert stock.deferred_job_registry.get_job_ids() == []


@pytest.mark.parametrize("allow_failure", [False, True])
async def test_a_stock_job_goes_on_when_our_worker_ends_its_parent(
    hands: Hands, stock: rq.Queue, allow_failure: bool
) -> None:
    parent, bad = new(), new("bob")
    await hands.add(parent, bad)
    children = {
        name: stock.enqueue(
            "math.hypot", 3, 4, depends_on=rq.job.Dependency(fetch(hands, job), allow_failure=allow_failure)
        )
        for name, job in (("good", parent), ("bad", bad))
    }
    assert {child.get_status() for child in children.values()} == {"deferred"}
    await hands.start(parent, bad)
    await hands.end(parent)
    await hands.end(bad, FAILED)
    assert hands.status(children["good"].id) == "queued"
    assert hands.status(children["bad"].id) == ("queued" if allow_failure else "deferred")
    assert (children["bad"].id in stock.deferred_job_registry.get_job_ids()) != allow_failure
    started = await hands.take()
    assert set(started) == {child.id for name, child in children.items() if allow_failure or name == "good"}
    assert await hands.states(children["bad"].id) == ["running" if allow_failure else "pending"]


async def test_a_stock_job_waits_for_a_parent_that_was_cancelled_whatever_it_allows(
    hands: Hands, stock: rq.Queue
) -> None:
    parent = new()
    await hands.add(parent)
    child = stock.enqueue("math.hypot", 3, 4, depends_on=rq.job.Dependency(fetch(hands, parent), allow_failure=True))
    await hands.queue.producer.cancel(parent.job_id)
    await hands.tick_through()
    assert child.get_status() == "deferred"
    await hands.queue.producer.restart(parent.job_id)
    await hands.run(parent, FAILED)
    assert await hands.take() == [child.id]


async def test_a_stock_job_whose_parent_failed_goes_on_when_the_parent_succeeds_after_all(
    hands: Hands, stock: rq.Queue
) -> None:
    parent = new()
    await hands.add(parent)
    children = [stock.enqueue("math.hypot", 3, 4, depends_on=fetch(hands, parent)) for _ in range(130)]
    await hands.run(parent, FAILED)
    await hands.tick_through()
    assert {hands.status(child.id) for child in children} == {"deferred"}
    await hands.queue.producer.restart(parent.job_id)
    await hands.run(parent)
    await hands.tick_through()
    assert {hands.status(child.id) for child in children} == {"queued"}


async def test_the_record_shows_both_directions(hands: Hands) -> None:
    parent = new()
    children = [after(parent) for _ in range(3)]
    await hands.add(parent, *children)
    assert [(job.depends_on, job.on_failure, job.dependents_total) for job in [await hands.get(children[0])]] == [
        ((parent.job_id,), "cancel", 0)
    ]
    await hands.run(parent)
    found = await hands.get(parent)
    assert found.dependents == tuple(child.job_id for child in children), "also when they wait no longer"
    assert (found.dependents_total, found.depends_on, found.on_failure) == (3, (), None)


# parents that are gone


@pytest.mark.parametrize("children", [1, 250])
async def test_a_parent_whose_result_is_not_kept(hands: Hands, children: int) -> None:
    parent = new(result_ttl=0)
    waiting = [after(parent) for _ in range(children)]
    await hands.add(parent, *waiting)
    await hands.run(parent)
    await hands.tick_through()
    assert set(await hands.states(*waiting)) == {"pending"}
    seconds = 60 if children == 1 else 600
    assert seconds - 10 < hands.client.ttl(f"rq:job:{parent.job_id}") <= seconds, "but its end, until they know of it"


async def test_a_parent_that_ended_well_may_expire_before_the_others_end(hands: Hands) -> None:
    one, two = new(), new()
    child = after(one, two)
    await hands.add(one, two, child)
    await hands.run(one)
    hands.let_expire(one)
    await hands.clean()
    assert hands.status(child) == "deferred"
    assert (await hands.clean()).repaired == 0
    await hands.end(two)
    assert await hands.take() == [child.job_id]


async def test_a_parent_that_is_removed_while_its_dependents_are_let_go(hands: Hands) -> None:
    parent = new()
    children = [after(parent) for _ in range(700)]
    await hands.add(parent, *children)
    await hands.run(parent)
    assert hands.client.zcard("rq:deferred:default") > 500
    await hands.queue.producer.remove(parent.job_id)
    await hands.tick_through()
    assert {hands.status(child) for child in children} == {"queued", "rate_limited"}
    assert await hands.states(parent) == ["gone"]
    assert not list(hands.client.scan_iter(f"*{parent.job_id}*"))


async def test_a_parent_that_runs_again_while_its_dependents_are_looked_at(hands: Hands) -> None:
    parent = new()
    children = [after(parent, on_failure="run") for _ in range(300)]
    await hands.add(parent, *children)
    await hands.run(parent, FAILED)
    await hands.queue.producer.restart(parent.job_id)
    await hands.tick_through()
    assert {"deferred"} < {hands.status(child) for child in children}
    while parent.job_id not in hands.held:
        for job_id in set(await hands.take()) - {parent.job_id}:
            await hands.end(job_id)
    await hands.end(parent)
    await hands.tick_through()
    assert hands.client.zcard("rq:deferred:default") == 0


async def test_a_parent_that_vanished_before_it_was_known_how_it_ended(hands: Hands) -> None:
    parent = new()
    child, other = after(parent), after(parent, on_failure="run")
    await hands.add(parent, child, other)
    hands.client.lrem("rq:queue:default", 0, parent.job_id)
    hands.let_expire(parent)
    await hands.clean()
    await hands.tick_through()
    assert await hands.states(child, other) == ["cancelled", "pending"]
    assert (await hands.get(child)).reason == f"job {parent.job_id}, which it depends on, is gone"
    await hands.clean()


async def test_what_is_left_of_a_parent_that_vanished_wakes_its_dependents(hands: Hands) -> None:
    parent = new()
    child = after(parent)
    await hands.add(parent, child)
    hands.client.lrem("rq:queue:default", 0, parent.job_id)
    hands.let_expire(parent)
    run = hands.queue.namespace.run
    term, *_ = await run("begin_cleanup", {"server": "s", "interval": 0, "hold": 1, "patience": 0})
    left = [f"rq:job:{parent.job_id}:dependents", parent.job_id]
    assert await run("drop_leftovers", {"term": term, "hold": 1}, left) == 1
    await hands.tick_through()
    assert await hands.states(child) == ["cancelled"]
    assert not hands.client.exists(left[0], "rq:x:releases")
    await hands.clean()


# what is lost


@pytest.mark.parametrize("lost", ["dependents", "dependencies", "deferred", "queue of both"])
async def test_the_cleanup_finds_a_job_that_nobody_would_wake(hands: Hands, lost: str) -> None:
    parent, busy = new(), new()
    child, waiting = after(parent), after(parent, busy)
    await hands.add(parent, busy, child, waiting)
    await hands.take()
    if lost == "dependents":
        hands.client.delete(f"rq:job:{parent.job_id}:dependents")
        await hands.end(parent)
    elif lost == "dependencies":
        hands.client.delete(f"rq:job::{child.job_id}:dependencies", f"rq:job::{waiting.job_id}:dependencies")
    elif lost == "deferred":
        hands.client.delete("rq:deferred:default")
    else:
        hands.client.delete("rq:deferred:default", f"rq:job:{parent.job_id}:dependents", "rq:queues")
    assert (await hands.clean()).repaired >= 1
    if parent.job_id in hands.held:
        await hands.end(parent)
    await hands.tick()
    assert [hands.status(job) for job in (child, waiting)] == ["queued", "deferred"]
    await hands.end(busy)
    assert sorted(await hands.take()) == sorted([child.job_id, waiting.job_id])


async def test_without_its_set_of_parents_a_job_still_waits_for_all(hands: Hands) -> None:
    one, two = new(), new()
    child = after(one, two)
    await hands.add(one, two, child)
    hands.client.delete(f"rq:job::{child.job_id}:dependencies")
    await hands.run(one)
    assert hands.status(child) == "deferred"
    await hands.end(two)
    assert await hands.take() == [child.job_id]


# nonsense

DAMAGE = {
    "dependency_ids": ["nonsense", '"text"', "[[1], null, {}]", "7", "[" * 2000],
    "x_run": ["?"],
    "x_core": ["\x1f\x1f"],
    "x_due": ["soon", "nan", "9" * 400],
    "x_keep": ["long", "-9e99"],
    "x_order": ["?"],
}


@pytest.mark.parametrize(("field", "value"), [(name, value) for name, values in DAMAGE.items() for value in values])
@pytest.mark.parametrize("outcome", [None, FAILED], ids=["completed", "failed"])
async def test_nonsense_in_a_dependent_holds_up_nobody_else(
    hands: Hands, field: str, value: str, outcome: Failed | None
) -> None:
    parent, stranger = new(), new("bob")
    first, bad, last = after(parent), after(parent), after(parent)
    await hands.add(parent, stranger, first, bad, last)
    await hands.start(parent, stranger)
    hands.client.hset(f"rq:job:{bad.job_id}", field, value)
    await hands.end(parent, outcome)
    await hands.end(stranger)
    await hands.tick_through()
    expected = "cancelled" if outcome else "pending"
    assert await hands.states(parent, stranger, first, last) == [
        "failed" if outcome else "completed", "completed", expected, expected,
    ]  # fmt: skip
    await hands.clean()
    if outcome is None:
        assert {first.job_id, last.job_id} <= set(await hands.take())
    hands.client.flushall()

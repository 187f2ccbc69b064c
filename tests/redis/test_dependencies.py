"""Jobs that wait for others: when they go on, when they are cancelled, and that nobody waits for ever."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hands import Hands, after, new

from jobqueue import Failed
from jobqueue.errors import DependencyNotFound
from jobqueue.wire import Argument

MOST_LOOKED_AT = 500
FAILED = Failed("ValueError: x", permanent=True)


def watch_calls(hands: Hands) -> dict[str, int]:
    """The most jobs that one call of each script let go on or ended."""
    most: dict[str, int] = {}
    run = hands.queue.namespace.run

    async def counted(name: str, given: Mapping[str, Argument], items: Sequence[Argument] = ()) -> Any:
        before = hands.client.zcard("rq:deferred:default")
        reply = await run(name, given, items)
        most[name] = max(most.get(name, 0), before - hands.client.zcard("rq:deferred:default"))
        return reply

    hands.queue.namespace.run = counted  # type: ignore[method-assign]
    return most


async def test_a_chain_runs_in_its_order(hands: Hands) -> None:
    one = new()
    two = after(one)
    three = after(two)
    await hands.add(one, two, three)
    assert await hands.states(one, two, three) == ["pending"] * 3
    for job in (one, two, three):
        assert await hands.take() == [job.job_id]
        await hands.end(job)
    assert await hands.states(one, two, three) == ["completed"] * 3


async def test_a_diamond_closes_when_both_sides_have_ended(hands: Hands) -> None:
    top = new()
    left, right = after(top), after(top)
    bottom = after(left, right)
    await hands.add(top, left, right, bottom)
    await hands.run(top)
    assert sorted(await hands.take()) == sorted([left.job_id, right.job_id])
    await hands.end(left)
    assert await hands.take() == []
    await hands.end(right)
    assert await hands.take() == [bottom.job_id]


async def test_a_thousand_dependents_go_on_in_batches(hands: Hands) -> None:
    parent = new()
    children = [after(parent) for _ in range(1000)]
    await hands.add(parent, *children)
    assert hands.client.zcard("rq:deferred:default") == 1000
    most = watch_calls(hands)
    await hands.run(parent)
    assert 0 < hands.client.zcard("rq:deferred:default") < 1000, "one call does not do it all"
    await hands.tick_through()
    assert hands.client.zcard("rq:deferred:default") == 0
    assert 0 < max(most.values()) <= MOST_LOOKED_AT
    assert set(await hands.states(*children)) == {"pending"}
    found = await hands.get(parent)
    assert (found.dependents_total, found.dependents) == (1000, tuple(child.job_id for child in children[:100]))
    assert not hands.client.exists(f"rq:job:{parent.job_id}:dependents", "rq:x:releases")


async def test_a_hundred_parents_must_all_have_ended(hands: Hands) -> None:
    parents = [new() for _ in range(100)]
    child = after(*parents)
    await hands.add(*parents, child)
    ended = 0
    while ended < 100:
        for job_id in await hands.take():
            assert job_id != child.job_id
            await hands.end(job_id)
            ended += 1
            assert hands.status(child) == ("deferred" if ended < 100 else "queued")
    assert (await hands.get(child)).depends_on == tuple(parent.job_id for parent in parents)


@pytest.mark.parametrize("outcome", ["failed", "cancelled"])
async def test_the_end_of_the_first_cancels_a_chain_of_three_hundred(hands: Hands, outcome: str) -> None:
    chain = [new()]
    for _ in range(300):
        chain.append(after(chain[-1]))
    await hands.add(*chain)
    most = watch_calls(hands)
    await hands.start(chain[0])
    if outcome == "failed":
        await hands.end(chain[0], FAILED)
    else:
        await hands.queue.producer.cancel(chain[0].job_id)
    await hands.tick_through()
    assert set(await hands.states(*chain[1:])) == {"cancelled"}
    assert 0 < max(most.values()) <= MOST_LOOKED_AT
    first, second = await hands.get(chain[1]), await hands.get(chain[2])
    assert first.reason == f"job {chain[0].job_id}, which it depends on, is {outcome}"
    assert second.reason == f"job {chain[1].job_id}, which it depends on, is cancelled"
    assert (first.attempt, first.error, first.attempts) == (0, None, ())
    assert hands.client.zcard("rq:canceled:default") == 300 + (outcome == "cancelled")


@pytest.mark.parametrize("outcome", ["failed", "cancelled"])
async def test_with_the_policy_run_a_bad_end_is_as_good_as_another(hands: Hands, outcome: str) -> None:
    parent, other = new(), new()
    child = after(parent, other, on_failure="run")
    await hands.add(parent, other, child)
    await hands.start(parent, other)
    if outcome == "failed":
        await hands.end(parent, FAILED)
    else:
        await hands.queue.producer.cancel(parent.job_id)
    assert hands.status(child) == "deferred"
    await hands.end(other)
    assert await hands.take() == [child.job_id]
    found = await hands.get(child)
    assert (found.on_failure, found.reason) == ("run", None)


@pytest.mark.parametrize(
    ("end", "policy", "state"),
    [
        ("completed", "cancel", "pending"),
        ("failed", "cancel", "cancelled"),
        ("failed", "run", "pending"),
        ("cancelled", "cancel", "cancelled"),
        ("cancelled", "run", "pending"),
    ],
)
async def test_a_parent_that_has_ended_at_submit(hands: Hands, end: str, policy: Any, state: str) -> None:
    parent = new()
    await hands.add(parent)
    if end == "cancelled":
        await hands.queue.producer.cancel(parent.job_id)
    else:
        await hands.run(parent, FAILED if end == "failed" else None)
    child = after(parent, on_failure=policy)
    answer = await hands.queue.producer.enqueue(child)
    assert (answer.state, answer.created) == (state, True)
    found = await hands.get(child)
    expected = f"job {parent.job_id}, which it depends on, is {end}" if state == "cancelled" else None
    assert (found.state, found.reason, found.depends_on) == (state, expected, (parent.job_id,))
    again = await hands.queue.producer.enqueue(child)
    assert (again.state, again.created) == (state, False), "the same submission has the same answer"


async def test_a_parent_that_is_unknown_or_somebody_elses_is_refused(hands: Hands) -> None:
    theirs = new("bob")
    await hands.add(theirs)
    for parent in (new(), theirs):
        child = after(parent)
        with pytest.raises(DependencyNotFound) as caught:
            await hands.queue.producer.enqueue(child)
        assert caught.value.job_id == parent.job_id
        assert await hands.states(child) == ["gone"]
    assert (await hands.get(theirs)).dependents_total == 0


async def test_a_batch_may_hold_parents_before_their_dependents(hands: Hands) -> None:
    one, other, late = new(), new(), new()
    two = after(one)
    orphan = after(new())
    # Options of its own: it travels in another call than its parent.
    three = after(two, timeout_seconds=7)
    early, grandchild = after(late), after(orphan)
    itself = new()
    itself = replace(itself, depends_on=[itself.job_id])
    answers = await hands.queue.producer.enqueue_many([one, two, orphan, grandchild, early, late, itself, other, three])
    refused = [n for n, answer in enumerate(answers) if isinstance(answer, DependencyNotFound)]
    assert refused == [2, 3, 4, 6]
    assert [hands.status(job) for job in (one, two, late, other, three)] == [
        "queued", "deferred", "queued", "queued", "deferred",
    ]  # fmt: skip
    for job in (one, two, three):
        await hands.run(job)

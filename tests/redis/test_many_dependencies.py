"""Jobs that depend on many others: what one call to Redis may contain, and what those who watch hear."""

from __future__ import annotations

from typing import Any

import pytest
from hands import Hands, after, new

from jobqueue import Failed


def calls_of_scripts(hands: Hands) -> int:
    return int(hands.client.info("commandstats")["cmdstat_evalsha"]["calls"])


async def test_a_call_is_cut_by_all_that_it_looks_at(hands: Hands) -> None:
    parents = [new() for _ in range(100)]
    await hands.add(*parents)
    hands.client.config_resetstat()
    await hands.add(*(after(*parents) for _ in range(10)))
    assert calls_of_scripts(hands) == 10


async def test_a_release_is_cut_by_all_that_it_looks_at(hands: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    parents = [new() for _ in range(100)]
    children = [after(*parents) for _ in range(20)]
    await hands.add(*parents, *children)
    read: list[int] = []
    run = hands.queue.namespace.run

    async def counted(name: str, *given: Any) -> Any:
        hands.client.config_resetstat()
        reply = await run(name, *given)
        read.append(int(hands.client.info("commandstats").get("cmdstat_hmget", {"calls": 0})["calls"]))
        return reply

    monkeypatch.setattr(hands.queue.namespace, "run", counted)
    for _ in range(50):
        for job_id in await hands.take(10):
            await hands.end(job_id)
        await hands.tick_through()
    assert await hands.states(*children) == ["completed"] * 20
    # The end of one concerns 20 jobs with 100 parents each.
    assert max(read) < 500


async def test_api_D3_who_waits_for_something_else_keeps_the_number_of_its_status(hands: Hands) -> None:
    parent = new(max_attempts=2, backoff_seconds=1000, backoff_max_seconds=1000)
    child = after(parent)
    await hands.add(parent, child)
    first = await hands.get(child)
    await hands.run(parent, Failed("it broke"))
    waits = await hands.get(parent)
    hands.let_due(parent)
    await hands.tick_through()
    again = await hands.get(parent)
    assert (again.state, again.status_seq) == ("pending", waits.status_seq)
    assert again.seq > waits.seq
    await hands.run(parent)
    then = await hands.get(child)
    assert (then.state, then.status_seq) == ("pending", first.status_seq)
    assert then.seq > first.seq
    await hands.start(child)
    assert (await hands.get(child)).status_seq > then.seq

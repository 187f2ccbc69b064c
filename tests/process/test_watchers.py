"""Thousands of watchers, slow readers, cut and silent connections, killed servers: real processes on a real Valkey."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from conftest import eventually
from relay import Connection, Relay
from support import System
from watch_support import (
    Client,
    Crowd,
    Serving,
    all_answered,
    all_open,
    all_until,
    hand_on,
    in_thread,
    start_server,
    submitted,
    system_in,
)

from jobqueue import Completed

MANY = 1000
CHANNEL = "rq:x:events"


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    with system_in(tmp_path) as made:
        yield made


@pytest.fixture
async def crowd(system: System) -> AsyncIterator[Crowd]:
    made = Crowd(system)
    yield made
    await made.leave()


def commands(system: System) -> int:
    with system.redis() as client:
        return int(client.info("stats")["total_commands_processed"])


async def commands_in(system: System, seconds: float) -> int:
    before = commands(system)
    await asyncio.sleep(seconds)
    return commands(system) - before


async def test_api_D11_a_thousand_polls_cost_redis_nothing_while_they_wait(system: System, crowd: Crowd) -> None:
    server = await start_server(system)
    job_id = await submitted(system)
    async with hand_on(system) as hand:
        alone = await commands_in(system, 3)
        polls = [crowd.poll(job_id) for _ in range(MANY)]
        await all_open(polls)
        await server.has(MANY)
        await in_thread(system.status, job_id)
        waiting = await commands_in(system, 3)
        assert waiting < alone + MANY / 10, "not one for each, not even one for every tenth"
        with system.redis() as client:
            assert dict(client.pubsub_numsub(CHANNEL)) == {CHANNEL.encode(): 1}
            assert len(client.client_list(_type="pubsub")) == 1
        before = commands(system)
        await hand.claim()
        await all_answered(polls)
        assert commands(system) - before < MANY / 5, "one read answers many"
    assert {client.status for client in polls} == {200}
    bodies = [client.body for client in polls]
    for body in bodies:
        # The one field that goes on by itself.
        body["metrics"]["execution_time_seconds"] = 0.0
    assert all(body == bodies[0] for body in bodies) and bodies[0]["status"] == "running"
    await crowd.leave()
    await server.has(0)


async def test_api_E15_a_thousand_streams_see_one_order_and_the_end(system: System, crowd: Crowd) -> None:
    server = await start_server(system)
    job_id = await submitted(system)
    before = server.megabytes
    async with hand_on(system) as hand:
        streams = [crowd.stream(job_id) for _ in range(MANY)]
        await all_open(streams)
        await all_until(streams, b'"pending"')
        each = (server.megabytes - before) * 1000 / MANY
        print(f"memory of one idle stream: {each:.0f} kB")
        assert each < 200
        job = await hand.claim()
        for n in range(1, 9):
            await hand.progress(job, n / 10, f"step {n}")
            await asyncio.sleep(0.1)
        await hand.finish(job, Completed({"pages": 3}))
        await all_until(streams, b"\r\n0\r\n\r\n")
    everything = [client.events for client in streams]
    order = sorted({(seq, name) for events in everything for seq, name, _ in events})
    for events in everything:
        seen = [(seq, name) for seq, name, _ in events]
        assert seen == [entry for entry in order if entry in seen], "in order, nothing twice"
        assert events[-1][1:] == ("job_complete", everything[0][-1][2])
        assert events[-2][2]["progress"] == 0.8, "the last value before the end"
        assert [data["progress"] for _, _, data in events] == sorted(data["progress"] for _, _, data in events)
    assert everything[0][-1][2]["result"] == {"pages": 3}


async def test_sec_W4_readers_that_stand_still_before_a_large_end_cost_little(system: System, crowd: Crowd) -> None:
    """Of 300 that do not read the 1 MB end, those that go on get it whole, the others are dropped after ten seconds."""
    server = await start_server(system)
    job_id = await submitted(system)
    async with hand_on(system) as hand:
        streams = [crowd.stream(job_id) for _ in range(300)]
        await all_open(streams)
        await all_until(streams, b'"pending"')
        before = server.megabytes
        for client in streams:
            client.pause()
        job = await hand.claim()
        for n in range(20):
            await hand.progress(job, n / 20, "a long step " * 80)
        await hand.finish(job, Completed("x" * 1_000_000))
        fast = crowd.stream(job_id)
        await fast.open()
        await fast.until(b"\r\n0\r\n\r\n")
        assert fast.events[-1][2]["result"] == "x" * 1_000_000
        grown = server.megabytes - before
        print(f"memory of 300 readers that stand still before 1 MB: {grown:.0f} MB")
        assert grown < 60
        late = streams[:10]
        for client in late:
            client.resume()
        await all_until(late, b"\r\n0\r\n\r\n")
        assert [client.events[-1][1:] for client in late] == [fast.events[-1][1:]] * 10
        await server.until_connections(lambda count: count <= 20, "the dead readers are dropped", 14)


async def test_sec_W5_clients_that_leave_free_everything(system: System, crowd: Crowd) -> None:
    server = await start_server(system)
    job_id = await submitted(system)
    before, sizes = server.descriptors, []
    for _ in range(5):
        clients = [crowd.stream(job_id) for _ in range(200)] + [crowd.poll(job_id) for _ in range(200)]
        await all_open(clients)
        await all_until(clients[:200], b'"pending"')
        await crowd.leave()
        await server.has(0)
        sizes.append(server.megabytes)
    _, stats = await in_thread(system.http, "GET", "/queue/stats")
    assert stats["cache_size"] == 0, "no job is watched any more"
    await server.has(0)
    assert server.descriptors <= before
    assert sizes[-1] - sizes[1] < 10, "memory does not grow with clients that were there once"


async def test_sec_W7_api_D12_E14_shutdown_ends_a_thousand_watchers(system: System, crowd: Crowd) -> None:
    server = await start_server(system)
    job_id = await submitted(system)
    streams = [crowd.stream(job_id) for _ in range(MANY // 2)]
    polls = [crowd.poll(job_id) for _ in range(MANY // 2)]
    await all_open(streams + polls)
    await all_until(streams, b'"pending"')
    await server.has(MANY)
    await in_thread(system.status, job_id)
    started = time.monotonic()
    server.process.terminate()
    await all_answered(polls)
    await all_until(streams, b"\r\n0\r\n\r\n")
    assert await in_thread(server.process.wait, 10) == 0
    assert time.monotonic() - started < 7
    assert {(client.status, client.body["status"]) for client in polls} == {(200, "pending")}
    assert {tuple(name for _, name, _ in client.events) for client in streams} == {("job_update",)}


async def test_sec_W7_readers_that_stand_still_do_not_hold_up_the_shutdown(system: System, crowd: Crowd) -> None:
    server = await start_server(system)
    job_id = await submitted(system)
    async with hand_on(system) as hand:
        streams = [crowd.stream(job_id) for _ in range(20)]
        await all_open(streams)
        await all_until(streams, b'"pending"')
        for client in streams:
            client.pause()
        await hand.finish(await hand.claim(), Completed("x" * 1_000_000))
        fast = crowd.stream(job_id)
        await fast.open()
        await fast.until(b"\r\n0\r\n\r\n")
        started = time.monotonic()
        server.process.terminate()
        assert await in_thread(server.process.wait, 15) == 0
        assert time.monotonic() - started < 5 + 2
        server = await start_server(system)
        again = crowd.stream(job_id, Last_Event_ID=str(streams[0].events[-1][0]))
        await again.open()
        await again.until(b"\r\n0\r\n\r\n")
        assert [name for _, name, _ in again.events] == ["job_complete"]


async def test_sec_W9_api_E9_E10_E11_streams_resume_on_another_server(system: System, crowd: Crowd) -> None:
    first = await start_server(system)
    job_id = await submitted(system)
    async with hand_on(system) as hand:
        streams = [crowd.stream(job_id) for _ in range(200)]
        await all_open(streams)
        await all_until(streams, b'"pending"')
        job = await hand.claim()
        await all_until(streams, b'"running"')
        await in_thread(system.kill, first.process)
        await all_until(streams, b"never")
        seen = {client.events[-1][0] for client in streams}
        assert len(seen) == 1 and all(client.closed for client in streams)
        system.port = 0
        await start_server(system)
        last_id = str(seen.pop())
        quiet = [crowd.stream(job_id, Last_Event_ID=last_id) for _ in range(200)]
        await all_open(quiet)
        await all_until(quiet, b"\n\n")
        assert {len(client.events) for client in quiet} == {0}, "nothing was missed, nothing comes twice"
        await hand.progress(job, 0.5, "half")
        await all_until(quiet, b'"half"')
        missed = crowd.stream(job_id, Last_Event_ID=last_id)
        await missed.open()
        await missed.until(b'"half"')
        await hand.finish(job, Completed(7))
        everyone = [*quiet, missed]
        await all_until(everyone, b"\r\n0\r\n\r\n")
        assert {client.events[-1][:2] for client in everyone} == {(quiet[0].events[-1][0], "job_complete")}
        assert len({str(client.events) for client in everyone}) == 1
        done = crowd.stream(job_id, Last_Event_ID=str(quiet[0].events[-1][0]))
        await done.open()
        await done.until(b"\r\n\r\n")
        assert done.status == 204


@asynccontextmanager
async def behind_relay(system: System) -> AsyncIterator[tuple[Serving, Relay]]:
    """The server's connections to Redis go through the relay. Another server, not used, owns the Valkey."""
    owner = await in_thread(system.server)
    path = system.valkey().url.removeprefix("unix://").partition("?")[0]
    relay = Relay(lambda: asyncio.open_unix_connection(path))
    await relay.start()
    config = system.folder / "config.toml"
    config.write_text(f'{config.read_text()}\n[redis]\nurl = "redis://127.0.0.1:{relay.port}/0"\n')
    system.port = 0
    try:
        server = await start_server(system)
        assert owner.poll() is None
        yield server, relay
        await in_thread(system.kill, server.process)
    finally:
        await relay.stop()


def subscriptions(relay: Relay) -> list[Connection]:
    return [made for made in relay.connections if b"SUBSCRIBE" in made.asked]


async def subscribed(relay: Relay, count: int) -> None:
    async def there() -> bool:
        return len(subscriptions(relay)) >= count

    await eventually(there, f"subscription {count}", 10)


async def follow(system: System, crowd: Crowd, count: int) -> tuple[list[str], list[Client]]:
    jobs = [await submitted(system, user=f"u{n}") for n in range(count)]
    streams = [crowd.stream(job_id) for job_id in jobs]
    await all_open(streams)
    await all_until(streams, b'"pending"')
    return jobs, streams


async def test_sec_W2_a_subscription_cut_again_and_again_loses_nothing(system: System, crowd: Crowd) -> None:
    """What happens while it is cut is seen within a second of the next subscription."""
    async with behind_relay(system) as (_, relay), hand_on(system) as hand:
        await subscribed(relay, 1)
        jobs, streams = await follow(system, crowd, 40)
        for count in range(1, 5):
            subscriptions(relay)[-1].cut()
            ended = jobs[(count - 1) * 10 : count * 10]
            for job_id in ended:
                await hand.queue.producer.cancel(job_id)
            await subscribed(relay, count + 1)
            async with asyncio.timeout(1.5):
                await all_until(streams[(count - 1) * 10 : count * 10], b"job_complete")
            assert not any(b"job_complete" in client.received for client in streams[count * 10 :])
            await asyncio.sleep(1)


@pytest.mark.parametrize("which", ["subscription", "all"])
async def test_sec_W3_a_silent_connection_is_noticed_in_five_seconds(system: System, crowd: Crowd, which: str) -> None:
    async with behind_relay(system) as (server, relay), hand_on(system) as hand:
        await subscribed(relay, 1)
        (job_id,), streams = await follow(system, crowd, 1)
        waiting = crowd.poll(job_id)
        await waiting.open()
        await server.has(2)
        # Answered after the poll has read its job: a poll that finds Redis silent when it arrives is a 503.
        await in_thread(system.status, job_id)
        for made in subscriptions(relay)[-1:] if which == "subscription" else list(relay.open):
            made.silent = True
        silenced = time.monotonic()
        await hand.queue.producer.cancel(job_id)
        await streams[0].until(b"job_complete")
        await waiting.answered()
        assert time.monotonic() - silenced < 6
        assert waiting.body["status"] == "cancelled"


@pytest.fixture
def few_descriptors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrapper = tmp_path / "python-limited"
    wrapper.write_text(f'#!/bin/sh\nulimit -n 256\nexec {sys.executable} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(wrapper))


@pytest.mark.usefixtures("few_descriptors")
async def test_sec_W11_a_server_with_few_descriptors_refuses_politely(system: System, crowd: Crowd) -> None:
    server = await start_server(system)
    job_id = await submitted(system)
    streams = [crowd.stream(job_id) for _ in range(220)]
    await all_open(streams)
    await all_until(streams, b"\r\n\r\n")
    codes = [client.status for client in streams]
    assert set(codes) == {200, 429} and codes.count(200) == 256 * 3 // 4
    refused = next(client for client in streams if client.status == 429)
    await refused.answered()
    assert refused.body["error"] == "TooManyRequestsError" and b"\r\nRetry-After: " in refused.received
    assert (await in_thread(system.status, job_id))["status"] == "pending", "others are served"
    await crowd.leave()
    await server.has(0)
    again = crowd.stream(job_id)
    await again.open()
    await again.until(b'"pending"')
    assert again.status == 200


@pytest.mark.usefixtures("few_descriptors")
async def test_sec_W11_a_server_without_descriptors_comes_back(system: System, crowd: Crowd) -> None:
    server = await start_server(system)
    job_id = await submitted(system)
    idle = [await asyncio.open_connection("127.0.0.1", system.port) for _ in range(400)]
    await server.until_connections(lambda count: count > 200, "hardly a descriptor is left")
    for _, writer in idle:
        writer.transport.abort()
    await server.until_connections(lambda count: count <= 5, "descriptors are free again")
    assert (await in_thread(system.status, job_id))["status"] == "pending"

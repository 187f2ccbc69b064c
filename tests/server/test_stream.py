"""Event streams, statements E1 to E15."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from conftest import eventually
from document_examples import COMPLETE, JOB, UPDATE, assert_same_shape
from fake_queue import AWAY, FakeQueue
from test_poll import watched_by

from jobqueue import JobChange, Settings
from jobqueue.errors import QueueUnavailable
from server import sse, stream
from server.app_keys import HUB
from server.watcher import Watcher

Stalled = Callable[[str], Awaitable[socket.socket]]


@pytest.fixture
async def brisk(start: Any, api_settings: Settings, fake: FakeQueue) -> Any:
    """Comments come quickly."""
    server = api_settings.server.model_copy(update={"keep_alive_seconds": 0.05})
    return await start(api_settings.model_copy(update={"server": server}), fake)


@pytest.fixture
async def stalled(api: Any) -> AsyncIterator[Stalled]:
    """Opens a client that has asked for a stream and does not read."""
    clients: list[socket.socket] = []

    async def open_stalled(job_id: str) -> socket.socket:
        client = socket.socket()
        clients.append(client)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, ("127.0.0.1", api.port))
        head = f"GET /api/v1/jobs/status/{job_id}/stream HTTP/1.1\r\nHost: localhost\r\n\r\n"
        await loop.sock_sendall(client, head.encode())
        return client

    yield open_stalled
    for client in clients:
        client.close()


async def test_api_E1_headers(api: Any, fake: FakeQueue) -> None:
    fake.add(JOB)
    async with api.stream(JOB, headers={"Accept-Encoding": "gzip, br, deflate"}) as events:
        headers = events.response.headers
        assert events.response.status == 200
        assert events.response.content_type == "text/event-stream"
        assert headers["Cache-Control"] == "no-cache, no-transform"
        assert headers["X-Accel-Buffering"] == "no"
        assert "Content-Encoding" not in headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Server"] == "jobs"


async def test_api_E3_E4_E5_a_whole_life(api: Any, fake: FakeQueue) -> None:
    fake.add(JOB)
    async with api.stream(JOB) as events:
        first = await events.next()
        assert (first.name, first.data["status"], first.data["progress"]) == ("job_update", "pending", 0.0)
        fake.change(JOB, "running", progress=0.1)
        update = await events.event()
        assert_same_shape(UPDATE, update.data)
        assert {key: update.data[key] for key in UPDATE} == UPDATE
        job = fake.progress(JOB, 0.5, "chunking")
        update = await events.event()
        assert (update.name, update.data["progress"], update.data["current_step"]) == ("job_update", 0.5, "chunking")
        assert update.id == job.seq
        job = fake.change(JOB, "completed", progress=1.0, result={"n": 3})
        last = await events.event()
        assert (last.name, last.id) == ("job_complete", job.seq)
        assert_same_shape(COMPLETE, last.data)
        assert (last.data["status"], last.data["result"], last.data["error"]) == ("completed", {"n": 3}, None)
        assert await events.rest() == []
    assert fake.result_reads == [JOB]


@pytest.mark.parametrize(
    ("state", "fields"),
    [("completed", {"result": [1], "progress": 1.0}), ("failed", {"error": "it broke"}), ("cancelled", {})],
)
async def test_api_E5_every_end(api: Any, fake: FakeQueue, state: Any, fields: dict[str, Any]) -> None:
    fake.add(JOB, "running")
    async with api.stream(JOB) as events, api.stream(JOB) as other:
        await events.event()
        fake.change(JOB, state, **fields)
        for stream in (events, other):
            last = (await stream.rest())[-1]
            assert last.name == "job_complete"
            expected = {"status": state, "result": fields.get("result"), "error": fields.get("error")}
            assert {key: last.data[key] for key in expected} == expected
    async with api.stream(JOB) as late:
        (only,) = await late.rest()
    assert (only.name, only.data, only.id) == (last.name, last.data, last.id)


async def test_api_E4_progress_is_merged_and_its_last_value_kept(api: Any, fake: FakeQueue) -> None:
    fake.add(JOB, "running")
    async with api.stream(JOB) as events:
        await events.event()
        for n in range(1, 100):
            fake.progress(JOB, n / 100)
            await asyncio.sleep(0)
        fake.change(JOB, "failed", error="x", progress=0.99)
        seen = await events.rest()
    assert len(seen) <= 4
    assert seen[-2].data["progress"] == 0.99 and seen[-2].data["status"] == "running"
    assert seen[-1].name == "job_complete"


async def test_api_E4_progress_comes_at_most_some_times_a_second(api: Any, fake: FakeQueue) -> None:
    fake.add(JOB, "running")
    loop = asyncio.get_running_loop()
    async with api.stream(JOB) as events:
        await events.event()
        fake.progress(JOB, 0.1)
        await events.event()
        started = loop.time()
        fake.progress(JOB, 0.2)
        await events.event()
        assert loop.time() - started > stream.PROGRESS_SECONDS / 2
        started = loop.time()
        fake.progress(JOB, 0.3)
        fake.change(JOB, "pending")
        assert [(await events.event()).data["status"] for _ in range(2)] == ["running", "pending"]
        assert loop.time() - started < stream.PROGRESS_SECONDS


async def test_api_E6_E8_order_and_ids(api: Any, fake: FakeQueue) -> None:
    fake.add(JOB)
    async with api.stream(JOB) as events:
        await events.event()
        fake.change(JOB, "running")
        fake.progress(JOB, 0.3)
        fake.change(JOB, "pending")
        fake.change(JOB, "running")
        fake.change(JOB, "completed", progress=1.0)
        fake.add("other")
        seen = await events.rest()
    ids = [event.id for event in seen]
    assert ids == sorted(set(ids))
    assert [event.name for event in seen].count("job_complete") == 1 and seen[-1].name == "job_complete"


async def test_api_E7_comments(brisk: Any, fake: FakeQueue) -> None:
    fake.add(JOB)
    async with brisk.stream(JOB) as events:
        await events.event()
        for _ in range(3):
            comment = await events.next()
            assert comment.comments == ["keep-alive"] and not comment.fields


async def test_sec_W8_idle_streams_do_not_write_at_the_same_moment(
    api: Any, fake: FakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One event woke them all; how long each then keeps silent differs, and is never over the 15 s of E7."""
    pauses: list[float] = []
    wait = Watcher.wait

    async def spy(watcher: Watcher, seconds: float, *, status_only: bool) -> bool:
        if not status_only:
            pauses.append(seconds)
        return await wait(watcher, seconds, status_only=status_only)

    monkeypatch.setattr(Watcher, "wait", spy)
    fake.add(JOB)
    async with AsyncExitStack() as stack:
        for _ in range(40):
            await (await stack.enter_async_context(api.stream(JOB))).event()
    assert len(pauses) >= 40
    assert all(10 < pause <= 15 for pause in pauses)
    assert max(pauses) - min(pauses) > 1.5


async def test_api_E8_retry_is_told_once(brisk: Any, fake: FakeQueue) -> None:
    fake.add(JOB)
    async with brisk.stream(JOB) as events:
        first = await events.next()
        assert 2000 <= first.retry <= 5000
        fake.change(JOB, "running")
        fake.change(JOB, "failed", error="x")
        assert [event.retry for event in await events.rest() if event.retry is not None] == []


@pytest.mark.parametrize("where", ["header", "query", "both"])
async def test_api_E9_resuming(api: Any, fake: FakeQueue, where: str) -> None:
    fake.add(JOB)
    seen = fake.change(JOB, "running").seq
    headers = {"Last-Event-ID": str(seen)} if where != "query" else {}
    query = {"header": "", "query": f"?last_event_id={seen}", "both": "?last_event_id=1"}[where]
    async with api.stream(JOB, query, headers=headers) as events:
        first = await events.next()
        assert first.name is None and first.retry is not None, "nothing is repeated"
        fake.progress(JOB, 0.5)
        assert (await events.event()).data["progress"] == 0.5
    async with api.stream(JOB, query, headers=headers) as events:
        assert (await events.next()).data["progress"] == 0.5, "what was missed comes at once"


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5", "9" * 30, "٣"])
async def test_api_E9_unknown_ids_count_as_none(api: Any, fake: FakeQueue, text: str) -> None:
    fake.add(JOB, "failed", error="x")
    async with api.session.get(api.url(f"/api/v1/jobs/status/{JOB}/stream"), params={"last_event_id": text}) as answer:
        assert answer.status == 200
        assert b"job_complete" in await answer.read()


async def test_api_E10_204_after_the_end(api: Any, fake: FakeQueue) -> None:
    job = fake.add(JOB, "failed", error="x")
    for last_id, status in ((job.seq, 204), (job.seq + 5, 204), (job.seq - 1, 200)):
        async with api.stream(JOB, headers={"Last-Event-ID": str(last_id)}) as events:
            assert events.response.status == status
            assert (await events.response.read() == b"") is (status == 204)


async def test_api_E11_restart(api: Any, fake: FakeQueue) -> None:
    fake.add(JOB, "running")
    async with api.stream(JOB) as events:
        await events.event()
        fake.change(JOB, "failed", error="broke")
        end = (await events.rest())[-1]
    await api.post(f"/api/v1/jobs/restart/{JOB}")
    async with api.stream(JOB, headers={"Last-Event-ID": str(end.id)}) as events:
        assert events.response.status == 200
        first = await events.next()
        assert (first.name, first.data["status"]) == ("job_update", "pending")
        assert first.id > end.id


async def test_api_E11_restart_before_the_end_could_be_read(api: Any, fake: FakeQueue) -> None:
    fake.add(JOB, "running")
    async with api.stream(JOB) as events:
        await events.event()
        fake.change(JOB, "failed", error="broke")
        fake.change(JOB, "pending", error=None)
        last = (await events.rest())[-1]
        assert (last.name, last.data["status"]) == ("job_complete", "failed")
        assert last.data["error"]


async def test_api_E12_any_text_is_one_line(api: Any, fake: FakeQueue) -> None:
    fake.add(JOB, "running")
    step = 'a "b"\n\r\n\ndata: x\nevent: job_complete\u2028\u2029\x85\x0b\x00</script>ä'
    async with api.stream(JOB) as events:
        await events.event()
        fake.progress(JOB, 0.5, step)
        update = await events.event()
        assert update.data["current_step"] == step
        assert len(update.fields["data"].splitlines()) == 1


async def test_api_E13_a_reader_that_does_not_read_is_dropped(
    api: Any, fake: FakeQueue, stalled: Stalled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "WRITE_SECONDS", 0.2)
    monkeypatch.setattr(stream, "PROGRESS_SECONDS", 0.0)
    fake.add(JOB, "running")
    await stalled(JOB)
    await watched_by(api, 1)
    written = 0
    async with asyncio.timeout(20):
        while api.app[HUB].watchers:
            fake.progress(JOB, 0.5, "x" * 4096)
            written += 4096
            await asyncio.sleep(0.001)
    assert written > 64 * 1024, "it had room at first"

    async def no_connection() -> bool:
        return not api.runner.server.connections

    await eventually(no_connection, "the connection is cut")


async def test_api_E13_a_reader_that_resumes_finds_updates_merged_and_the_end(
    api: Any, fake: FakeQueue, stalled: Stalled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "PROGRESS_SECONDS", 0.0)
    fake.add(JOB, "running")
    client = await stalled(JOB)
    await watched_by(api, 1)
    for n in range(1, 1000):
        fake.progress(JOB, n / 1000, "x" * 4096)
        await asyncio.sleep(0)
    fake.change(JOB, "failed", error="x", progress=0.999)
    loop = asyncio.get_running_loop()
    received = b""
    while not received.endswith(b"0\r\n\r\n"):
        part = await asyncio.wait_for(loop.sock_recv(client, 1 << 20), 10)
        assert part, "the server gave up"
        received += part
    assert received.count(b"event: job_update") < 200, "of 1000; the rest was merged"
    assert received.count(b"event: job_complete") == 1
    before_the_end = received.partition(b"event: job_complete")[0].rpartition(b"event: job_update")[2]
    assert b'"status":"running","progress":0.999' in before_the_end


async def test_api_E13_a_slow_reader_gets_the_whole_end(
    api: Any, fake: FakeQueue, stalled: Stalled, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it takes longer than the time after which a reader counts as dead; it reads on, so it is not dead."""
    monkeypatch.setattr(sse, "WRITE_SECONDS", 0.3)
    fake.add(JOB, "completed", progress=1.0, result="x" * 500_000)
    client = await stalled(JOB)
    loop = asyncio.get_running_loop()
    started, received = loop.time(), b""
    while not received.endswith(b"0\r\n\r\n"):
        part = await asyncio.wait_for(loop.sock_recv(client, 32 * 1024), 10)
        assert part, "the server gave up"
        received += part
        await asyncio.sleep(0.02)
    assert loop.time() - started > 2 * sse.WRITE_SECONDS, "it was slow"
    assert received.count(b"x") >= 500_000


async def test_sec_W4_a_large_end_is_encoded_once_for_all(
    api: Any, fake: FakeQueue, stalled: Stalled, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[str] = []
    complete_json = stream.complete_json

    def spy(change: JobChange, result: Any, error: str | None) -> dict[str, Any]:
        encoded.append(change.job_id)
        return complete_json(change, result, error)

    monkeypatch.setattr(stream, "complete_json", spy)
    fake.add(JOB, "running")
    clients = [await stalled(JOB) for _ in range(20)]
    await watched_by(api, 20)
    fake.change(JOB, "completed", progress=1.0, result="x" * 400_000)
    async with api.stream(JOB) as late:
        assert (await late.event()).data["result"] == "x" * 400_000
    assert encoded == [JOB]
    assert _unsent(api) < 20 * 3 * sse.PIECE_BYTES
    for client in clients:
        client.close()
    await watched_by(api, 0)
    await api.post(f"/api/v1/jobs/restart/{JOB}")


def _unsent(api: Any) -> int:
    transports = [connection.transport for connection in api.runner.server.connections]
    return sum(transport.get_write_buffer_size() for transport in transports if transport is not None)


async def test_api_E13_no_end_stays_in_a_buffer_for_a_dead_reader(
    api: Any, fake: FakeQueue, stalled: Stalled, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ends of all sizes around what the kernel takes: each is either wholly handed over or its reader is dropped."""
    monkeypatch.setattr(sse, "WRITE_SECONDS", 0.3)
    sizes = range(20_000, 400_000, 10_000)
    for size in sizes:
        fake.add(f"job-{size}", "completed", progress=1.0, result="x" * size)
    for size in sizes:
        await stalled(f"job-{size}")

    async def all_served() -> bool:
        return len(set(fake.result_reads)) == len(sizes) and not api.app[HUB].watchers

    await eventually(all_served, "no stream is open any more")

    async def all_sent() -> bool:
        return _unsent(api) == 0

    await eventually(all_sent, "nothing is left in buffers", 3)
    left = len(api.runner.server.connections)
    assert 0 < left < len(sizes), "some were dropped, some not"


async def test_api_E5_an_end_that_comes_with_the_shutdown_is_sent(api: Any, fake: FakeQueue) -> None:
    fake.add(JOB, "running")
    async with api.stream(JOB) as events:
        fake.progress(JOB, 0.5)
        while (await events.event()).data["progress"] != 0.5:
            pass
        fake.change(JOB, "completed", progress=1.0, result=1)
        api.app[HUB].end_watches()
        assert [event.name for event in await events.rest()] == ["job_complete"]


async def test_api_E5_the_end_of_a_job_that_is_gone_is_sent(api: Any, fake: FakeQueue) -> None:
    fake.add(JOB, "running")
    async with api.stream(JOB) as events:
        await events.event()
        fake.change(JOB, "completed", progress=1.0, result=1)
        fake.expire(JOB)
        api.app[HUB].end_watches()
        (last,) = await events.rest()
        assert (last.name, last.data["status"], last.data["result"]) == ("job_complete", "completed", None)


async def test_api_E14_shutdown_ends_streams(api: Any, fake: FakeQueue) -> None:
    fake.add(JOB)
    loop = asyncio.get_running_loop()
    async with api.stream(JOB) as events:
        await events.event()
        started = loop.time()
        await api.runner.cleanup()
        assert await events.rest() == []
    assert loop.time() - started < 1


async def test_api_E14_the_next_server_goes_on(api: Any, start: Any, api_settings: Settings, fake: FakeQueue) -> None:
    fake.add(JOB, "running")
    async with api.stream(JOB) as events:
        seen = (await events.event()).id
        await api.runner.cleanup()
    other = await start(api_settings, fake)
    job = fake.change(JOB, "cancelled")
    async with other.stream(JOB, headers={"Last-Event-ID": str(seen)}) as events:
        (last,) = await events.rest()
        assert (last.name, last.id) == ("job_complete", job.seq)


async def test_api_E15_all_see_the_same_order(api: Any, fake: FakeQueue) -> None:
    fake.add(JOB)

    async def follow() -> list[tuple[int | None, str | None]]:
        async with api.stream(JOB) as events:
            return [(event.id, event.name) for event in await events.rest()]

    clients = [asyncio.ensure_future(follow()) for _ in range(50)]
    await watched_by(api, 50)
    for n in range(1, 6):
        fake.change(JOB, "running", progress=n / 10)
        fake.change(JOB, "pending")
    fake.change(JOB, "completed", progress=1.0)
    orders = await asyncio.gather(*clients)
    merged = sorted(set().union(*orders))
    assert all(order == [entry for entry in merged if entry in order] for order in orders)
    assert all(order[-1] == merged[-1] for order in orders)


async def test_w1_a_change_between_the_read_and_the_wait_is_sent(api: Any, fake: FakeQueue) -> None:
    fake.add(JOB)

    async def change_once() -> None:
        fake.after_read = None
        fake.change(JOB, "running")

    fake.after_read = change_once
    async with api.stream(JOB) as events:
        assert (await events.event()).data["status"] == "pending"
        assert (await events.event()).data["status"] == "running"


async def test_sec_W2_missed_changes_come_after_a_gap(api: Any, fake: FakeQueue) -> None:
    fake.add(JOB)
    async with api.stream(JOB) as events:
        await events.event()
        fake.events.muted = True
        fake.change(JOB, "running")
        fake.change(JOB, "completed", progress=1.0, result="late")
        fake.events.gap()
        (last,) = await events.rest()
        assert (last.name, last.data["result"]) == ("job_complete", "late")


async def test_sec_N8_a_stream_outlives_the_queue(brisk: Any, fake: FakeQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "READ_AGAIN_SECONDS", 0.05)
    fake.add(JOB, "running")
    async with brisk.stream(JOB) as events:
        await events.event()
        fake.down = QueueUnavailable("away")
        fake.events.gap()
        fake.change(JOB, "completed", progress=1.0, result=1)
        for _ in range(3):
            assert (await events.next()).comments == ["keep-alive"]
        fake.down = None
        last = await events.event()
        assert (last.name, last.data["result"]) == ("job_complete", 1)


async def test_queue_away_before_the_stream(api: Any, fake: FakeQueue) -> None:
    fake.down = AWAY
    async with api.stream(JOB) as events:
        assert events.response.status == 503
        assert json.loads(await events.response.read())["error"] == "QueueUnavailableError"


async def test_a_job_that_is_removed_ends_its_stream(api: Any, fake: FakeQueue) -> None:
    fake.add(JOB)
    async with api.stream(JOB) as events:
        await events.event()
        fake.expire(JOB)
        fake.events.gap()
        assert await events.rest() == []


async def test_sec_W5_a_client_that_leaves_frees_everything(api: Any, fake: FakeQueue) -> None:
    fake.add(JOB)
    before = len(asyncio.all_tasks())
    for _ in range(20):
        async with api.stream(JOB) as events:
            await events.event()
    await watched_by(api, 0)
    assert api.app[HUB].snapshots == 0

    async def as_before() -> bool:
        return len(asyncio.all_tasks()) <= before + 1

    await eventually(as_before, "no task is left")


async def test_a_defect_in_an_open_stream_cuts_it(api: Any, fake: FakeQueue, caplog: pytest.LogCaptureFixture) -> None:
    """No second answer is written into the first."""
    import aiohttp

    fake.add(JOB, "running")
    async with api.stream(JOB) as events:
        await events.event()
        fake.down = RuntimeError("defect")
        fake.change(JOB, "failed")
        with pytest.raises(aiohttp.ClientError):
            await events.rest()
    fake.down = None
    assert "a request failed, error_id=" in caplog.text
    beyond_us = [record.exc_info[1] for record in caplog.records if record.name == "aiohttp.server" and record.exc_info]
    assert [type(error) for error in beyond_us] == [ConnectionResetError] * len(beyond_us)

"""The server's own tasks: they go on through failures, and they end."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from typing import Any

import pytest
from conftest import eventually
from document_examples import JOB
from fake_queue import AWAY, FakeQueue

from jobqueue import Settings, TickReport
from server.app_keys import HUB
from server.hub import Hub
from server.mutations import Mutations
from server.periodic import every

NAMES = {"tick", "schedules", "worker-check", "presence", "cleanup", "cpu-sampler", "watched-jobs-scan"}


async def test_all_duties_run(api: Any, fake: FakeQueue) -> None:
    async def done() -> bool:
        ticked = fake.tick_count >= 2 and fake.schedules.tick_count >= 2
        return ticked and fake.checks == 1 and fake.beats >= 1 and fake.cleanups == 1

    await eventually(done, "every duty was done")
    assert fake.beat["host"] == socket.gethostname() and fake.beat["pid"] == os.getpid() and fake.beat["rss_mb"] > 0
    assert {task.get_name() for task in asyncio.all_tasks()} >= NAMES


async def test_tick_goes_on_at_once_while_there_is_more(start: Any, api_settings: Settings, fake: FakeQueue) -> None:
    server = api_settings.server.model_copy(update={"tick_seconds": 3600.0})
    fake.ticks = [TickReport(1, 0, 0, 0, True)] * 5
    await start(api_settings.model_copy(update={"server": server}), fake)

    async def done() -> bool:
        return fake.tick_count == 6

    await eventually(done, "six ticks in a row")


async def test_duties_survive_the_queue(
    start: Any, api_settings: Settings, fake: FakeQueue, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    fake.down = AWAY
    await start(api_settings, fake)

    def told(text: str) -> int:
        return sum(record.getMessage().startswith(text) for record in caplog.records)

    async def failed() -> bool:
        return bool(told("tick does not work"))

    async def works() -> bool:
        return bool(told("tick works again"))

    await eventually(failed, "the failure is told")
    fake.down = None
    await eventually(works, "the recovery is told")
    assert told("tick does not work") == 1
    assert fake.tick_count


async def test_nothing_is_left_after_shutdown(api: Any, fake: FakeQueue) -> None:
    await api.runner.cleanup()
    assert not {task.get_name() for task in asyncio.all_tasks()} & NAMES
    assert fake.closed and fake.events.stopped == 1


async def test_shutdown_order_watches_end_before_the_queue_closes(api: Any, fake: FakeQueue) -> None:
    fake.add(JOB)
    order = []

    async def poll() -> None:
        await api.get(f"/api/v1/jobs/status/{JOB}/poll")
        order.append("poll")

    async def stream() -> None:
        async with api.stream(JOB) as events:
            await events.event()
            started.set()
            await events.rest()
            order.append("stream")

    started = asyncio.Event()
    tasks = [asyncio.ensure_future(poll()), asyncio.ensure_future(stream())]
    await started.wait()
    close = fake.close

    async def note_close() -> None:
        order.append(f"queue, watchers={api.app[HUB].watchers}, connections={len(api.runner.server.connections)}")
        await close()

    fake.close = note_close  # type: ignore[method-assign]
    async with asyncio.timeout(api.runner._shutdown_timeout):
        await api.runner.cleanup()
    await asyncio.gather(*tasks)
    assert sorted(order) == ["poll", "queue, watchers=0, connections=0", "stream"]
    assert fake.log == ["server removed", "queue closed"]


async def test_every_waits_longer_and_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    class Enough(Exception):
        pass

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 8:
            raise Enough

    async def fail() -> None:
        raise AWAY

    monkeypatch.setattr("server.periodic.asyncio.sleep", sleep)
    with pytest.raises(Enough):
        await every(1.0, fail, name="trial")
    assert pauses == [1.0, 1.0, 2.0, 4.0, 5.0, 5.0, 5.0, 5.0]


async def test_a_defect_in_a_duty_is_told_and_the_duty_goes_on(
    start: Any, api_settings: Settings, fake: FakeQueue, caplog: pytest.LogCaptureFixture
) -> None:
    fake.down = RuntimeError("defect")
    await start(api_settings, fake)

    async def told() -> bool:
        return "task tick died" in caplog.text

    await eventually(told, "the end of the task is told")
    fake.down = None
    before = fake.ticked

    async def ticks_again() -> bool:
        return fake.ticked > before

    await eventually(ticks_again, "the duty goes on")


async def test_mutations_end_before_the_queue_closes() -> None:
    mutations = Mutations()
    go_on = asyncio.Event()
    done = []

    async def change() -> None:
        await go_on.wait()
        done.append(1)
        raise AWAY

    waiter = asyncio.ensure_future(mutations.run(change(), name="trial"))
    await asyncio.sleep(0)
    waiter.cancel()
    closing = asyncio.ensure_future(mutations.close())
    await asyncio.sleep(0)
    assert not closing.done()
    go_on.set()
    await closing
    assert done


async def test_the_slow_scan_needs_no_events(monkeypatch: pytest.MonkeyPatch, fake: FakeQueue) -> None:
    monkeypatch.setattr("server.hub.SCAN_SECONDS", 0.02)
    monkeypatch.setattr("server.hub.DEAF_SCAN_SECONDS", 0.01)
    hub = Hub(fake.events, fake, most_watchers=1)  # type: ignore[arg-type]
    await hub.start()
    fake.events.muted = True
    job = fake.add(JOB)
    with hub.watch(JOB) as watcher:
        hub.begin(watcher, job)
        fake.change(JOB, "running")
        assert await watcher.wait(5, status_only=True)
    await hub.stop()


async def test_a_scan_that_fails_is_repeated(monkeypatch: pytest.MonkeyPatch, fake: FakeQueue) -> None:
    monkeypatch.setattr("server.hub.DEAF_SCAN_SECONDS", 0.01)
    hub = Hub(fake.events, fake, most_watchers=1)  # type: ignore[arg-type]
    job = fake.add(JOB)
    await hub.start()
    with hub.watch(JOB) as watcher:
        hub.begin(watcher, job)
        fake.events.muted = True
        fake.change(JOB, "running")
        fake.down = AWAY
        fake.events.gap()
        assert not await watcher.wait(0.05, status_only=True)
        fake.down = None
        assert await watcher.wait(5, status_only=True)
    await hub.stop()


async def test_a_scan_reads_in_batches(fake: FakeQueue) -> None:
    hub = Hub(fake.events, fake, most_watchers=1000)  # type: ignore[arg-type]
    watches = [hub.watch(f"j{n}") for n in range(450)]
    for watch in watches:
        watch.__enter__()
    await hub._scan()
    assert [len(batch) for batch in fake.reads] == [200, 200, 50]
    for watch in watches:
        watch.__exit__(None, None, None)
    assert hub.watchers == 0

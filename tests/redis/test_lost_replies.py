"""Replies that never arrive: the call was carried out, the caller cannot know and asks again, nothing happens twice."""

from __future__ import annotations

import asyncio
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import ValkeyServer, settings_for

from jobqueue import Completed, Ended, Failed, JobQueue, Lane, NewJob, Released, scripts
from jobqueue.errors import QueueUnavailable

LEASE_US = 15_000_000


class Proxy:
    """Forwards a TCP port to Valkey's socket; `lose(n)` drops the n-th chunk of replies and cuts that connection."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._countdown = -1
        self._tasks: set[asyncio.Task[None]] = set()
        self.lost = 0

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def lose(self, chunks_until: int = 1) -> None:
        self._countdown = chunks_until

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        up_reader, up_writer = await asyncio.open_unix_connection(self._socket)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._forward(reader, up_writer, self._keep), name="requests")
                group.create_task(self._forward(up_reader, writer, self._keep_reply), name="replies")
        except* (ConnectionError, EOFError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            up_writer.close()
            self._tasks.discard(task)

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, keep: Callable[[], bool]
    ) -> None:
        while data := await reader.read(65536):
            if not keep():
                break
            writer.write(data)
            await writer.drain()
        raise EOFError

    def _keep(self) -> bool:
        return True

    def _keep_reply(self) -> bool:
        self._countdown -= 1
        if self._countdown == 0:
            self.lost += 1
            return False
        return True


@pytest.fixture
async def proxy(valkey: ValkeyServer) -> AsyncIterator[Proxy]:
    made = Proxy(valkey.socket)
    yield made
    await made.stop()


@pytest.fixture
async def queue(proxy: Proxy) -> AsyncIterator[JobQueue]:
    url = f"redis://127.0.0.1:{await proxy.start()}/0"
    opened = await JobQueue.open(settings_for(url, Path(tempfile.mkdtemp(prefix="jq-proxy-"))), name="w")
    await opened.register_worker()
    for name in scripts.names():
        await opened.namespace.link.call("SCRIPT", "LOAD", scripts.load(name).text)
    yield opened
    await opened.close()


def new_job(user: str = "ann") -> NewJob:
    return NewJob(job_id=str(uuid.uuid4()), function="a.b", user_id=user, max_attempts=2)


async def insist(call: Callable[[], Awaitable[Any]]) -> Any:
    for _ in range(20):
        try:
            return await call()
        except QueueUnavailable:
            continue
    raise AssertionError("never answered")


async def test_api_B7_enqueue_asked_again_makes_one_job(queue: JobQueue, proxy: Proxy) -> None:
    await queue.producer.enqueue(new_job())
    job = new_job()
    proxy.lose()
    with pytest.raises(QueueUnavailable):
        await queue.producer.enqueue(job)
    assert proxy.lost == 1
    again = await insist(lambda: queue.producer.enqueue(job))
    assert (again.created, again.state) == (False, "pending")
    assert (await queue.inspector.stats()).counts["pending"] == 2


async def test_a_claim_whose_reply_was_lost_brings_the_same_job(queue: JobQueue, proxy: Proxy) -> None:
    jobs = [new_job("ann"), new_job("bob")]
    await queue.producer.enqueue_many(jobs)
    lane = Lane(queue.namespace, "w", 0, ("default",), LEASE_US)
    await lane.advance([], 0)
    proxy.lose()
    with pytest.raises(QueueUnavailable):
        await lane.advance([], 1)
    assert (await insist(queue.inspector.stats)).counts["running"] == 1, "it was carried out"
    batch = await insist(lane.repeat)
    assert [job.job_id for job in batch.jobs] == [jobs[0].job_id]
    assert batch.jobs[0].attempt == 1
    assert (await queue.inspector.stats()).counts["running"] == 1


@pytest.mark.parametrize("outcome", [Completed(7), Failed("ValueError: x"), Released()], ids=lambda o: type(o).__name__)
async def test_an_outcome_whose_reply_was_lost_counts_once(queue: JobQueue, proxy: Proxy, outcome: Any) -> None:
    job = new_job()
    await queue.producer.enqueue(job)
    lane = Lane(queue.namespace, "w", 0, ("default",), LEASE_US)
    batch = await lane.advance([], 1)
    proxy.lose()
    with pytest.raises(QueueUnavailable):
        await lane.advance([Ended(batch.jobs[0], outcome)], 0)
    before = await insist(lambda: queue.inspector.get(job.job_id))
    again = await insist(lane.repeat)
    assert again.verdicts == ["ok"]
    assert await queue.inspector.get(job.job_id) == before


async def test_every_reply_lost_once(queue: JobQueue, proxy: Proxy, valkey: ValkeyServer) -> None:
    """The life of six jobs, with the reply to the k-th call lost, for every k: the end is always the same."""
    for lost in range(1, 14):
        jobs = [new_job(user) for user in ("ann", "ann", "ann", "ann", "bob", "bob")]
        proxy.lose(lost)
        await insist(lambda jobs=jobs: queue.producer.enqueue_many(jobs))
        lane = Lane(queue.namespace, "w", lost, ("default",), LEASE_US)
        ended: list[Ended] = []
        runs: list[str] = []
        for _ in range(6):
            try:
                batch = await lane.advance(ended, 2)
            except QueueUnavailable:
                batch = await insist(lane.repeat)
            assert set(batch.verdicts) <= {"ok"}
            runs += [job.job_id for job in batch.jobs]
            ended = [Ended(job, Completed(None)) for job in batch.jobs]
        assert sorted(runs) == sorted(job.job_id for job in jobs)
        found = await insist(lambda jobs=jobs: queue.inspector.get_many([job.job_id for job in jobs]))
        assert {(job.state, job.attempt) for job in found} == {("completed", 1)}

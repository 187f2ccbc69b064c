"""What tests of watchers share: a real server, a worker whose steps are calls, and many clients in the test's loop."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import psutil
from conftest import eventually, settings_for
from support import System

from jobqueue import Claimed, Consumer, Ended, JobQueue, Lane, Progress

LEASE_US = 120_000_000


class Hand:
    """A worker without a loop: each step is one call."""

    def __init__(self, queue: JobQueue) -> None:
        self._lane = Lane(queue.namespace, queue.name, 0, ["default"], LEASE_US)
        self._consumer = Consumer(queue.namespace, queue.name)
        self.queue = queue

    async def claim(self) -> Claimed:
        (job,) = (await self._lane.advance([], 1)).jobs
        return job

    async def progress(self, job: Claimed, fraction: float, step: str = "") -> None:
        assert await self._consumer.progress([(job, Progress(job.token, fraction, step, 1, 2))]) == [True]

    async def finish(self, job: Claimed, outcome: Any) -> None:
        assert await self._consumer.finish([Ended(job, outcome)]) == ["ok"]


@asynccontextmanager
async def hand_on(system: System) -> AsyncIterator[Hand]:
    folder = system.folder / "hand"
    folder.mkdir(exist_ok=True)
    queue = await JobQueue.open(settings_for(system.valkey().url, folder), name="hand")
    await queue.register_worker()
    yield Hand(queue)
    await queue.presence.remove_worker()
    await queue.close()


@contextmanager
def system_in(folder: Path) -> Iterator[System]:
    system = System(folder)
    try:
        yield system
    finally:
        system.stop()


class Client:
    """One HTTP request on a socket of its own, and what has come back so far."""

    def __init__(self, port: int, job_id: str, what: str, **headers: str) -> None:
        lines = [f"GET /api/v1/jobs/status/{job_id}/{what} HTTP/1.1", "Host: localhost"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self._request = "\r\n".join(lines) + "\r\n\r\n"
        self._port = port
        self.received = b""
        self.closed = False
        self._writer: asyncio.StreamWriter | None = None

    async def open(self) -> None:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._writer.write(self._request.encode())

    async def until(self, mark: bytes) -> bytes:
        """All that was received, once it contains the mark or the server has closed."""
        while mark not in self.received:
            part = await self._reader.read(65536)
            if not part:
                self.closed = True
                break
            self.received += part
        return self.received

    def pause(self) -> None:
        """Stands still: the kernel takes a little more, then nothing."""
        assert self._writer is not None
        self._writer.transport.pause_reading()

    def resume(self) -> None:
        assert self._writer is not None
        self._writer.transport.resume_reading()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()

    async def answered(self) -> None:
        """The whole answer of a request that is not a stream."""
        head = (await self.until(b"\r\n\r\n")).partition(b"\r\n\r\n")[0]
        length = int(head.partition(b"Content-Length: ")[2].partition(b"\r")[0])
        while len(self.received) < len(head) + 4 + length:
            part = await self._reader.read(65536)
            assert part, "cut"
            self.received += part

    @property
    def status(self) -> int:
        return int(self.received.split(b" ", 2)[1])

    @property
    def body(self) -> Any:
        return json.loads(self.received.partition(b"\r\n\r\n")[2])

    @property
    def events(self) -> list[tuple[int, str, Any]]:
        """Id, name and data of each event; comments do not count."""
        return list(_events(self.received.partition(b"\r\n\r\n")[2]))


def _events(body: bytes) -> Iterator[tuple[int, str, Any]]:
    for block in _unchunked(body).decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":") and line)
        if "event" in fields:
            yield int(fields["id"]), fields["event"], json.loads(fields["data"])


def _unchunked(body: bytes) -> bytes:
    whole = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        whole += body[: int(size, 16)]
        body = body[int(size, 16) + 2 :]
    return whole


async def all_open(clients: list[Client]) -> None:
    await asyncio.gather(*(client.open() for client in clients))


async def all_answered(clients: list[Client]) -> None:
    await asyncio.gather(*(client.answered() for client in clients))


async def all_until(clients: list[Client], mark: bytes) -> None:
    await asyncio.gather(*(client.until(mark) for client in clients))


class Crowd:
    """Makes clients of one system and closes them all at the end."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._clients: list[Client] = []

    def stream(self, job_id: str, **headers: str) -> Client:
        return self._made(Client(self._system.port, job_id, "stream", **headers))

    def poll(self, job_id: str) -> Client:
        return self._made(Client(self._system.port, job_id, "poll?timeout=60"))

    def _made(self, client: Client) -> Client:
        self._clients.append(client)
        return client

    async def leave(self) -> None:
        for client in self._clients:
            client.close()
        self._clients.clear()
        # Sockets are closed in the loop's next turn.
        await asyncio.sleep(0)


class Serving:
    """A server process, seen from outside."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process = process
        self._port = port
        self._seen = psutil.Process(process.pid)

    @property
    def descriptors(self) -> int:
        return int(self._seen.num_fds())

    @property
    def connections(self) -> int:
        """Of clients, also those that have left and are still held."""
        found = self._seen.net_connections("tcp")
        return sum(made.laddr.port == self._port and made.status != psutil.CONN_LISTEN for made in found)

    @property
    def megabytes(self) -> float:
        """Resident memory."""
        return float(self._seen.memory_info().rss / 1e6)

    async def until_connections(self, holds: Callable[[int], bool], what: str, seconds: float = 20) -> None:
        async def there() -> bool:
            return holds(self.connections)

        await eventually(there, what, seconds)

    async def has(self, connections: int) -> None:
        await self.until_connections(lambda count: count == connections, f"{connections} connections")


async def start_server(system: System) -> Serving:
    process = await in_thread(system.server)
    # Opens what a server needs and keeps.
    await in_thread(system.http, "GET", "/queue/stats")
    server = Serving(process, system.port)
    await server.has(0)
    return server


async def in_thread(call: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """What blocks must not hold up the clients and relays in this loop."""
    return await asyncio.to_thread(call, *arguments, **options)


async def submitted(system: System, **parameters: Any) -> str:
    return str(await in_thread(system.submit, **parameters))

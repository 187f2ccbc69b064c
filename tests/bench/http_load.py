"""http_load.py HOST:PORT METHOD BODY_FILE|- CONNECTIONS PATHS_FILE: a closed loop over keep-alive connections.

The same generator for every system: each connection sends, waits for the whole answer, sends again. Says `ready`, waits
for a line with seconds, answers with JSON; `busy` is the share of a core that it used itself.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

import uvloop


class Connection(asyncio.Protocol):
    def __init__(self, load: Load) -> None:
        self._load = load
        self._buffer = b""
        self._sent = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._send()

    def _send(self) -> None:
        assert self._transport is not None
        if time.perf_counter() >= self._load.until:
            self._transport.close()
            return
        self._sent = time.perf_counter()
        self._transport.write(self._load.next_request())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        lowered = head.lower()
        place = lowered.index(b"content-length:") + 15
        if len(body) < int(lowered[place:].split(b"\r\n", 1)[0]):
            return
        self._buffer = b""
        self._load.note(head[9:12].decode(), time.perf_counter() - self._sent)
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.open -= 1
        if not self._load.open:
            self._load.ended.set()


class Load:
    def __init__(self, address: str, method: str, body: bytes, paths: list[str], connections: int) -> None:
        self._host, _, port = address.partition(":")
        self._port = int(port)
        self._connections = connections
        head = f"Host: {address}\r\n"
        if body:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        self._requests = [f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body for path in paths]
        self._turn = 0

    def next_request(self) -> bytes:
        self._turn += 1
        return self._requests[self._turn % len(self._requests)]

    def note(self, status: str, seconds: float) -> None:
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.times.append(seconds)

    async def run(self, seconds: float) -> dict[str, object]:
        self.times: list[float] = []
        self.statuses: dict[str, int] = {}
        self.ended = asyncio.Event()
        self.open = self._connections
        started, used = time.perf_counter(), time.process_time()
        self.until = started + seconds
        loop = asyncio.get_running_loop()
        for _ in range(self._connections):
            await loop.create_connection(lambda: Connection(self), self._host, self._port)
        async with asyncio.timeout(seconds + 30):
            await self.ended.wait()
        took = time.perf_counter() - started
        self.times.sort()
        count = len(self.times)
        return {
            "rate": count / took,
            "mean": sum(self.times) / count * 1000,
            "p50": self.times[count // 2] * 1000,
            "p99": self.times[min(count - 1, count * 99 // 100)] * 1000,
            "statuses": self.statuses,
            "busy": (time.process_time() - used) / took,
        }


def arguments() -> Load:
    address, method, body_file, connections, paths_file = sys.argv[1:]
    body = b"" if body_file == "-" else Path(body_file).read_bytes()
    return Load(address, method, body, Path(paths_file).read_text().split(), int(connections))


async def main(load: Load) -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while line := await asyncio.to_thread(sys.stdin.readline):
        sys.stdout.write(json.dumps(await load.run(float(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(main(arguments()))

"""sse_watchers.py HOST:PORT WATCHERS IDS_FILE: many open streams in one process, spread over jobs.

A change carries in `current_step` the monotonic nanoseconds at which it was made; what is told is how old it was when
it came. Says `ready` when every stream has told its first state; each line read is answered with the ages since the
last.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from pathlib import Path

import uvloop

STEP = re.compile(rb'"current_step":\s*"(\d+)"')


class Stream(asyncio.Protocol):
    def __init__(self, watchers: Watchers, request: bytes) -> None:
        self._watchers = watchers
        self._request = request
        self._seen = False
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.write(self._request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        whole, _, self._rest = (self._rest + data).rpartition(b"\n")
        if b"data:" in whole and not self._seen:
            self._seen = True
            self._watchers.told()
        for match in STEP.finditer(whole):
            self._watchers.ages.append(now - int(match[1]))

    def connection_lost(self, exc: Exception | None) -> None:
        self._watchers.lost += 1


class Watchers:
    def __init__(self, count: int) -> None:
        self.ages: list[int] = []
        self.lost = 0
        self._untold = count
        self.all_told = asyncio.Event()

    def told(self) -> None:
        self._untold -= 1
        if not self._untold:
            self.all_told.set()

    def report(self) -> dict[str, object]:
        ages, self.ages = sorted(self.ages), []
        if not ages:
            return {"count": 0, "lost": self.lost}
        found = {name: ages[min(len(ages) - 1, int(len(ages) * share))] / 1e6 for name, share in SHARES.items()}
        return {"count": len(ages), "lost": self.lost, **found}


SHARES = {"p50": 0.5, "p99": 0.99, "max": 1.0}


async def main(address: str, count: int, ids: list[str]) -> None:
    host, _, port = address.partition(":")
    watchers = Watchers(count)
    loop = asyncio.get_running_loop()
    for number in range(count):
        path = f"/api/v1/jobs/status/{ids[number % len(ids)]}/stream"
        request = f"GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n".encode()
        await loop.create_connection(lambda request=request: Stream(watchers, request), host, int(port))
    async with asyncio.timeout(60):
        await watchers.all_told.wait()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while await asyncio.to_thread(sys.stdin.readline):
        sys.stdout.write(json.dumps(watchers.report()) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]).read_text().split()))

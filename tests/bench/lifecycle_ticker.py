"""The ticks of one server, for lifecycle_bench.py: a process of its own, as a server is one beside the workers.

    lifecycle_ticker.py URL FOLDER

Each line on stdin is one task, done until there is no more: `due`, `schedules` or `dependents`. The answer is a line of
JSON: how long it took, how many calls, how many jobs the largest of them moved and how many all of them.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from conftest import settings_for  # noqa: E402

from jobqueue import JobQueue  # noqa: E402

PAUSE_SECONDS = 0.01
LONGEST_SECONDS = 120


class Ticker:
    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue

    async def due(self) -> tuple[int, bool]:
        report = await self._queue.maintenance.tick()
        return report.promoted, report.more

    async def schedules(self) -> tuple[int, bool]:
        """A server ticks for both, at the same time."""
        report, _ = await asyncio.gather(self._queue.schedules.tick(), self._queue.maintenance.tick())
        return report.fired, report.more

    async def dependents(self) -> tuple[int, bool]:
        before = await self._deferred()
        await self._queue.maintenance.tick()
        after = await self._deferred()
        return before - after, after > 0

    async def _deferred(self) -> int:
        found: int = await self._queue.namespace.call("ZCARD", self._queue.namespace.keys.deferred("default"))
        return found

    async def until_done(self, tick: Callable[[], Awaitable[tuple[int, bool]]], total: int) -> dict[str, float]:
        began = time.monotonic()
        moved: list[int] = []
        while sum(moved) < total and time.monotonic() - began < LONGEST_SECONDS:
            count, more = await tick()
            moved += [count] if count else []
            if not more:
                await asyncio.sleep(PAUSE_SECONDS)
        return {
            "seconds": time.monotonic() - began,
            "calls": len(moved),
            "most": max(moved, default=0),
            "moved": sum(moved),
        }


async def main(url: str, folder: Path) -> None:
    environment = {"JOBQUEUE_REDIS_CALL_TIMEOUT_SECONDS": "30"}
    queue = await JobQueue.open(settings_for(url, folder, **environment), name="bench-ticker")
    ticker = Ticker(queue)
    print("ready", flush=True)
    try:
        while line := await asyncio.to_thread(sys.stdin.readline):
            name, total = line.split()
            print(json.dumps(await ticker.until_done(getattr(ticker, name), int(total))), flush=True)
    finally:
        await queue.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))

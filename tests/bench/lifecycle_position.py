"""What one look at why a job waits costs, among few jobs of its user and among very many."""

from __future__ import annotations

import statistics
import time

from lifecycle_setup import LEASE_US, OTHERS, TOGETHER, ValkeyServer, add, new_jobs, opened, own_valkey

from jobqueue import JobQueue, Lane

LOOKS = 25


class Line:
    """A namespace with a user's long line and a thousand jobs of others; the looks go to the middle of the line."""

    def __init__(self, valkey: ValkeyServer, queue: JobQueue) -> None:
        self._valkey = valkey
        self._queue = queue
        self.redis_us: list[float] = []
        self.wall_us: list[float] = []
        self.together_us: list[float] = []

    async def fill(self, count: int) -> None:
        for number in range(OTHERS):
            await add(self._queue, new_jobs(1000 // OTHERS, f"other{number}"))
        kept: list[str] = []
        for number in range(count // TOGETHER):
            jobs = new_jobs(TOGETHER, "ann")
            await add(self._queue, jobs)
            if number == count // TOGETHER // 2:
                kept = [job.job_id for job in jobs[-LOOKS:]]
        self._jobs = [job for job in await self._queue.inspector.get_many(kept) if job is not None]
        # Ours and the other users' admitted jobs run, as they would: so the line is looked at in its usual shape.
        await Lane(self._queue.namespace, "bench", 0, ("default",), LEASE_US).advance([], 10)

    def _spent(self) -> float:
        usage = self._valkey.client.info("commandstats")["cmdstat_evalsha"]
        return float(usage["usec"])

    async def round(self) -> None:
        """One job a call, which is what a reader of one job costs; then all in one, as for a page of a list."""
        await self._queue.register_worker()
        before, began = self._spent(), time.perf_counter()
        for job in self._jobs:
            await self._queue.inspector.explain([job])
        self.wall_us.append((time.perf_counter() - began) * 1e6 / LOOKS)
        self.redis_us.append((self._spent() - before) / LOOKS)
        before = self._spent()
        await self._queue.inspector.explain(self._jobs)
        self.together_us.append((self._spent() - before) / LOOKS)

    def answer(self) -> str:
        waiting = self._jobs[0].waiting
        return f"{waiting.reason}, {waiting.ahead_own:,} own before it, place {waiting.position:,}" if waiting else "-"


async def position(length: int, rounds: int) -> None:
    async with own_valkey() as valkey, opened(valkey, "small") as few, opened(valkey, "big") as many:
        small, big = Line(valkey, few), Line(valkey, many)
        await big.fill(length)
        await small.fill(1000)
        for number in range(rounds):
            # Who comes second finds a warmer machine.
            for line in (small, big) if number % 2 else (big, small):
                await line.round()
    print(f"\n## position: microseconds a job, medians of {rounds} interleaved rounds of {LOOKS}\n")
    print(f"| | 1,000 of its user | {length:,} of its user | ratio |\n|---|--:|--:|--:|")
    for name, base, cost in (
        ("Redis", small.redis_us, big.redis_us),
        (f"Redis, {LOOKS} jobs a call", small.together_us, big.together_us),
        ("round trip", small.wall_us, big.wall_us),
    ):
        first, second = statistics.median(base), statistics.median(cost)
        print(f"| {name} | {first:.1f} | {second:.1f} | {second / first:.2f} |")
    print(f"\nfew: {small.answer()}; many: {big.answer()}")

"""What comes all at once, or waits in a long line: its cost, and what others notice of it.

    .venv/bin/python tests/bench/lifecycle_bench.py                # some minutes, a million jobs
    .venv/bin/python tests/bench/lifecycle_bench.py --small        # twenty seconds, only shows that it works
    ... --rows position,due,schedules,dependents

`position`: Redis microseconds of one look at why a job waits, among few and among very many.
The others: a worker claims and finishes jobs of other users all the time, one call each five milliseconds, while the
ticks of one server (lifecycle_ticker.py, a process of its own) move what is due. What a call takes then stands beside
what it takes when nothing is due, in the same run.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import shutil
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from lifecycle_position import position
from lifecycle_setup import LEASE_US, OTHERS, SLOWEST, add, new_jobs, opened, own_valkey
from programs import HERE, Program

from jobqueue import Completed, Ended, JobQueue, Lane, NewSchedule, Recurrence

CALL_EVERY_SECONDS = 0.005
QUIET_SECONDS = 4.0
# So long that all are stored before the first is due.
DUE_PER_SECOND = 5000


@dataclass(frozen=True)
class Sizes:
    line: int = 1_000_000
    due: int = 100_000
    schedules: int = 10_000
    parents: int = 20
    dependents: int = 1_000
    rounds: int = 40


SMALL = Sizes(line=20_000, due=6_000, schedules=500, parents=3, rounds=10)


class Hand:
    """A worker with one lane: each call ends the job before and takes the next."""

    def __init__(self, queue: JobQueue) -> None:
        self._lane = Lane(queue.namespace, "bench", 0, ("default",), LEASE_US)
        self._held: list[Ended] = []

    def holds(self) -> set[str]:
        return {entry.job.job_id for entry in self._held}

    async def call(self) -> float:
        """Its milliseconds."""
        began = time.perf_counter()
        batch = await self._lane.advance(self._held, 1)
        took = (time.perf_counter() - began) * 1000
        self._held = [Ended(job, Completed(1)) for job in batch.jobs]
        return took

    async def work(self, until: Callable[[], bool]) -> list[float]:
        """Calls come by the clock and not when the last one has ended: a long wait is met as often as it is long."""
        times = []
        following = time.perf_counter()
        while not until():
            await asyncio.sleep(max(0.0, following - time.perf_counter()))
            times.append(await self.call())
            following = max(following + CALL_EVERY_SECONDS, time.perf_counter() - CALL_EVERY_SECONDS)
        return times


def spread(times: list[float]) -> str:
    ordered = sorted(times)
    return f"{statistics.median(ordered):.1f} | {ordered[int(len(ordered) * 0.99)]:.1f} | {ordered[-1]:.1f}"


Prepare = Callable[[JobQueue, Hand], Awaitable[None]]


async def beside(title: str, task: str, count: int, prepare: Prepare, seconds: float) -> None:
    """`prepare` leaves `count` things due; then the ticks begin."""
    folder = Path(tempfile.mkdtemp(prefix="jq-bench-"))
    async with own_valkey() as valkey, opened(valkey, "rq") as queue:
        for number in range(OTHERS):
            await add(queue, new_jobs(3000, f"other{number}"))
        hand = Hand(queue)
        end = time.perf_counter() + seconds
        quiet = await hand.work(lambda: time.perf_counter() > end)
        await prepare(queue, hand)
        gc.collect()
        valkey.client.config_set("slowlog-log-slower-than", 2000)
        valkey.client.slowlog_reset()
        command = [sys.executable, HERE / "lifecycle_ticker.py", valkey.url, folder]
        with Program(command, folder / "log") as ticker:
            ticks = asyncio.create_task(asyncio.to_thread(ticker.tell, f"{task} {count}"), name="ticks")
            busy = await hand.work(ticks.done)
            found = await ticks
        slow = [entry["duration"] / 1000 for entry in valkey.client.slowlog_get(SLOWEST)] or [0.0]
    shutil.rmtree(folder)
    cells = (
        f"{found['moved']:,} | {found['seconds']:.1f} | {found['calls']:,} | {found['most']:,}",
        f"{statistics.median(slow):.1f} | {max(slow):.1f}",
        spread(quiet),
        spread(busy),
        f"{len(busy):,}",
    )
    print(f"| {title} | {' | '.join(cells)} |", flush=True)


async def due(sizes: Sizes, users: int, seconds: float) -> None:
    async def prepare(queue: JobQueue, _: Hand) -> None:
        now, micros = await queue.namespace.call("TIME")
        moment = (int(now) + 2 + sizes.due // DUE_PER_SECOND) * 1_000_000
        for number in range(users):
            await add(queue, new_jobs(sizes.due // users, f"user{number}", due=moment))
        now, micros = await queue.namespace.call("TIME")
        await asyncio.sleep(max(0.0, moment / 1e6 - int(now) - int(micros) / 1e6))

    await beside(f"due jobs of {users:,} users", "due", sizes.due // users * users, prepare, seconds)


async def schedules(sizes: Sizes, seconds: float) -> None:
    async def prepare(queue: JobQueue, _: Hand) -> None:
        rule = Recurrence(cron="0 * * * *", missed="once")
        ids = [str(uuid.uuid4()) for _ in range(sizes.schedules)]
        for first in range(0, len(ids), 100):
            part = [
                NewSchedule(schedule_id=one, recurrence=rule, job=new_jobs(1, f"user{int(one[:4], 16) % 1000}")[0])
                for one in ids[first : first + 100]
            ]
            await asyncio.gather(*(queue.schedules.create(new) for new in part))
        now, _micros = await queue.namespace.call("TIME")
        moment = int(now) * 1_000_000
        for first in range(0, len(ids), 1000):
            entries = [value for one in ids[first : first + 1000] for value in (moment, one)]
            await queue.namespace.call("ZADD", queue.namespace.keys.ticks, "XX", *entries)

    await beside("recurring schedules", "schedules", sizes.schedules, prepare, seconds)


async def dependents(sizes: Sizes, seconds: float) -> None:
    async def prepare(queue: JobQueue, hand: Hand) -> None:
        async def deferred() -> int:
            found: int = await queue.namespace.call("ZCARD", queue.namespace.keys.deferred("default"))
            return found

        parents = new_jobs(sizes.parents, "ann", priority="urgent")
        await add(queue, parents)
        for parent in parents:
            await add(queue, new_jobs(sizes.dependents, "ann", depends_on=[parent.job_id]))
        waiting = {parent.job_id for parent in parents}
        while waiting:
            ending, before = waiting & hand.holds(), await deferred()
            took = await hand.call()
            if ending:
                ends.append((took, before - await deferred()))
            waiting -= ending

    ends: list[tuple[float, int]] = []
    # The call that ends a parent looks at the first hundred itself.
    count = sizes.parents * (sizes.dependents - 100)
    await beside(f"{sizes.dependents:,} dependents of each of {sizes.parents}", "dependents", count, prepare, seconds)
    print(f"\nThe call that ends a parent: {statistics.median(took for took, _ in ends):.1f} ms in the median, "
          f"releases {max(count for _, count in ends)} itself.")  # fmt: skip


HEAD = """
## all at once: milliseconds of a claim call, quiet before and while it is moved

`slow`: calls that took Redis more than 2 ms.

| | moved | seconds | calls | most in one | slow p50 | max | quiet p50 | p99 | max | busy p50 | p99 | max | claims |
|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"""


async def measure(sizes: Sizes, rows: list[str], seconds: float) -> None:
    if "position" in rows:
        await position(sizes.line, sizes.rounds)
    if len(set(rows) - {"position"}) > 0:
        print(HEAD)
    if "due" in rows:
        await due(sizes, 10, seconds)
        await due(sizes, 1000, seconds)
    if "schedules" in rows:
        await schedules(sizes, seconds)
    if "dependents" in rows:
        await dependents(sizes, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--rows", default="position,due,schedules,dependents")
    given = parser.parse_args()
    sizes, seconds = (SMALL, 1.0) if given.small else (Sizes(), QUIET_SECONDS)
    asyncio.run(measure(sizes, given.rows.split(","), seconds))


if __name__ == "__main__":
    main()

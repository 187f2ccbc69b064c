"""Changes pushed to many watchers: how old each one is when it arrives, and what a watcher costs in memory."""

from __future__ import annotations

import asyncio
import sys
import time
import uuid
from pathlib import Path
from typing import Any

from programs import HERE, Program, ours

from jobqueue import JobQueue, Lane, NewJob, load_settings
from jobqueue.consumer import Consumer
from jobqueue.job import Claimed, Progress

LIMITS = {"JOBQUEUE_LIMITS_TOTAL": "1000", "JOBQUEUE_LIMITS_PER_USER": "1000"}
LEASE_US = 3_600_000_000


async def measure(folder: Path, *, watchers: int, jobs: int, rate: int, seconds: float) -> dict[str, Any]:
    """On the real defaults (embedded Valkey, AOF always) but for the limits, so that all watched jobs may run."""
    with ours("server", folder, **LIMITS) as server:
        queue = await JobQueue.open(load_settings(folder / "config.toml", LIMITS), name="bench-changes")
        try:
            claimed = await _running_jobs(queue, jobs)
            return await _watch(queue, server, claimed, folder, watchers=watchers, rate=rate, seconds=seconds)
        finally:
            await queue.close()


async def _running_jobs(queue: JobQueue, count: int) -> list[Claimed]:
    await queue.register_worker()
    await queue.producer.enqueue_many(
        [NewJob(job_id=str(uuid.uuid4()), function="jobs.none", args=[], user_id="ann") for _ in range(count)]
    )
    lane = Lane(queue.namespace, queue.name, 0, ("default",), LEASE_US)
    return (await lane.advance([], count)).jobs


async def _watch(
    queue: JobQueue, server: Program, claimed: list[Claimed], folder: Path, *, watchers: int, rate: int, seconds: float
) -> dict[str, Any]:
    ids = folder / "ids"
    ids.write_text("\n".join(job.job_id for job in claimed))
    before = server.rss()
    command = [sys.executable, HERE / "sse_watchers.py", server.address, str(watchers), ids]
    with Program(command, folder / "watchers.log") as client:
        await asyncio.sleep(1)
        memory = (server.rss() - before) / watchers
        await asyncio.to_thread(client.tell, "forget")
        used = server.cpu_seconds()
        changes = await _change(queue, claimed, rate, seconds)
        await asyncio.sleep(1)
        found = await asyncio.to_thread(client.tell, "report")
        busy = (server.cpu_seconds() - used) / (seconds + 1)
    # Each job has as many watchers as any other, but for the remainder.
    expected = sum(changes[n % len(claimed)] for n in range(watchers))
    return {**found, "expected": expected, "kib_per_watcher": memory / 1024, "server_busy": busy}


async def _change(queue: JobQueue, claimed: list[Claimed], rate: int, seconds: float) -> list[int]:
    """One script call a change, evenly spread; how many each job got."""
    consumer = Consumer(queue.namespace, queue.name)
    total = int(rate * seconds)
    counts = [0 for _ in claimed]
    started = time.monotonic()
    for number in range(total):
        await asyncio.sleep(max(0.0, started + number / rate - time.monotonic()))
        job = claimed[number % len(claimed)]
        note = Progress(job.token, fraction=(number + 1) / (total + 1), step=str(time.monotonic_ns()))
        counts[number % len(claimed)] += (await consumer.progress([(job, note)]))[0]
    return counts

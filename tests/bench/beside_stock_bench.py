"""A stock `rq worker` and ours on the same queue: what each takes of the same jobs in the same time.

    .venv/bin/python tests/bench/beside_stock_bench.py            # a minute

Jobs are enqueued by our library (JSON, limits that nobody meets) and do nothing. Rows: each worker alone, the stock one
as it comes (a process a job) and as SimpleWorker (inside its own process), then ours beside each of them.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import redis
from lifecycle_setup import ValkeyServer, own_valkey, settings_for
from programs import ROOT

from jobqueue import JobQueue, NewJob

OURS, FORKING, SIMPLE = "ours", "rq worker", "rq SimpleWorker"
# So many jobs that the row takes some seconds.
ROWS = {(OURS,): 40_000, (FORKING,): 400, (SIMPLE,): 4_000, (OURS, FORKING): 40_000, (OURS, SIMPLE): 40_000}
ENQUEUED_AT_ONCE = 1000
LIMIT = str(max(ROWS.values()))
MOST_SECONDS = 60.0


def command(kind: str, url: str) -> list[str]:
    if kind == OURS:
        return [sys.executable, "-m", "worker"]
    simple = ["--worker-class", "rq.SimpleWorker"] if kind == SIMPLE else []
    return [str(Path(sys.executable).with_name("rq")), "worker", "--url", url, "--serializer", "json", *simple]


def environment(url: str, folder: Path) -> Mapping[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{ROOT}:{folder}",
        "JOBQUEUE_REDIS_URL": url,
        "JOBQUEUE_STORAGE_DATA_DIR": str(folder),
        "JOBQUEUE_LIMITS_TOTAL": LIMIT,
        "JOBQUEUE_LIMITS_PER_USER": LIMIT,
        "JOBQUEUE_WORKER_CONCURRENCY": "50",
        "JOBQUEUE_WORKER_ALLOWED_FUNCTIONS": "jobs_beside.*",
    }


def start(kinds: Sequence[str], url: str, folder: Path) -> list[subprocess.Popen[bytes]]:
    with (folder / "workers.log").open("ab") as log:
        return [
            subprocess.Popen(command(kind, url), env=environment(url, folder), cwd=folder, stdout=log, stderr=log)
            for kind in kinds
        ]


async def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + MOST_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        await asyncio.sleep(0.02)


async def add(queue: JobQueue, count: int) -> None:
    for first in range(0, count, ENQUEUED_AT_ONCE):
        numbers = range(first, min(first + ENQUEUED_AT_ONCE, count))
        await queue.producer.enqueue_many([NewJob(job_id=f"n{n}", function="jobs_beside.noop") for n in numbers])


def done(client: redis.Redis) -> dict[str, int]:
    """Jobs completed so far, by kind of worker."""
    counts = {OURS: 0, "stock": 0}
    for key in client.smembers("rq:workers"):
        kind = OURS if client.exists(key.replace(b"rq:worker:", b"rq:x:worker:")) else "stock"
        counts[kind] += int(client.hget(key, "successful_job_count") or 0)
    return counts


async def measured(kinds: Sequence[str], jobs: int, valkey: ValkeyServer, folder: Path) -> dict[str, float]:
    """Jobs a second by kind of worker, from when all are there until nine of ten are done."""
    client = valkey.client
    settings = settings_for(valkey.url, folder, JOBQUEUE_LIMITS_TOTAL=LIMIT, JOBQUEUE_LIMITS_PER_USER=LIMIT)
    queue = await JobQueue.open(settings, name="bench")
    workers = start(kinds, valkey.url, folder)
    try:
        await wait_until(lambda: client.scard("rq:workers") == len(kinds), "the workers have not registered")
        await add(queue, jobs)
        before, started = done(client), time.monotonic()
        await wait_until(lambda: sum(done(client).values()) >= jobs * 0.9, "the jobs are not done")
        seconds = time.monotonic() - started
        return {kind: (count - before[kind]) / seconds for kind, count in done(client).items()}
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.wait(60)
        await queue.close()


async def main() -> None:
    print("| workers | ours, jobs/s | stock, jobs/s |\n|---|--:|--:|")
    for kinds, jobs in ROWS.items():
        folder = Path(tempfile.mkdtemp(prefix="jq-bench-"))
        (folder / "jobs_beside.py").write_text("def noop():\n    return None\n")
        async with own_valkey() as valkey:
            rates = await measured(kinds, jobs, valkey, folder)
        shutil.rmtree(folder)
        print(f"| {' + '.join(kinds)} | {rates[OURS]:,.0f} | {rates['stock']:,.0f} |", flush=True)


if __name__ == "__main__":
    asyncio.run(main())

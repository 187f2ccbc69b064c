"""What the rows of lifecycle_bench.py share: a Valkey of their own, open queues on it, jobs."""

from __future__ import annotations

import shutil
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from conftest import ValkeyServer, settings_for  # noqa: E402

from jobqueue import JobQueue, NewJob  # noqa: E402

LEASE_US = 600_000_000
OTHERS = 10
TOGETHER = 1000
SLOWEST = 1000


def new_jobs(count: int, user: str, **options: Any) -> list[NewJob]:
    return [NewJob(job_id=str(uuid.uuid4()), function="jobs.noop", user_id=user, **options) for _ in range(count)]


async def add(queue: JobQueue, jobs: list[NewJob]) -> None:
    for first in range(0, len(jobs), TOGETHER):
        for answer in await queue.producer.enqueue_many(jobs[first : first + TOGETHER]):
            if isinstance(answer, Exception):
                raise answer


@asynccontextmanager
async def opened(valkey: ValkeyServer, prefix: str) -> AsyncIterator[JobQueue]:
    folder = Path(tempfile.mkdtemp(prefix="jq-bench-"))
    settings = settings_for(
        valkey.url, folder, JOBQUEUE_REDIS_CALL_TIMEOUT_SECONDS="30", JOBQUEUE_REDIS_KEY_PREFIX=prefix
    )
    queue = await JobQueue.open(settings, name="bench")
    await queue.register_worker()
    try:
        yield queue
    finally:
        await queue.close()
        shutil.rmtree(folder)


@asynccontextmanager
async def own_valkey() -> AsyncIterator[ValkeyServer]:
    folder = Path(tempfile.mkdtemp(prefix="jq-bench-"))
    valkey = ValkeyServer(folder, "--slowlog-max-len", str(SLOWEST))
    try:
        yield valkey
    finally:
        valkey.stop()
        shutil.rmtree(folder)

"""Job types for tests of the life of jobs: one that runs until it is told to end, one that fails at first."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from process_jobs import Parameters as Traced
from process_jobs import trace

from worker.context import JobContext

LONGEST_SECONDS = 90


class Held(Traced, extra="forbid"):
    until: str


def _exists(file: str) -> bool:
    return Path(file).exists()


async def hold(ctx: JobContext, parameters: Held) -> dict[str, int]:
    """Runs until the file `until` is there."""
    trace(ctx, parameters, "start")
    end = time.monotonic() + LONGEST_SECONDS
    while not _exists(parameters.until):
        if time.monotonic() > end:
            raise TimeoutError("nobody told this job to end")
        await asyncio.sleep(0.05)
    trace(ctx, parameters, "end")
    return {"attempt": ctx.attempt}


class Flaky(Traced, extra="forbid"):
    failures: int = 1


async def fail_first(ctx: JobContext, parameters: Flaky) -> dict[str, int]:
    """Its first attempts fail."""
    trace(ctx, parameters, "start")
    if ctx.attempt <= parameters.failures:
        raise RuntimeError("not yet")
    trace(ctx, parameters, "end")
    return {"attempt": ctx.attempt}

"""Job types for tests with real processes. Each run leaves traces in a file, a line each: what job attempt pid time."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from worker.context import JobContext


class Parameters(BaseModel, extra="forbid"):
    seconds: float = 0.0
    trace: str
    stubborn: bool = False
    block: bool = False


def trace(ctx: JobContext, parameters: Parameters, what: str) -> None:
    line = f"{what} {ctx.job_id} {ctx.attempt} {os.getpid()} {time.time()}\n"
    descriptor = os.open(Path(parameters.trace), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, line.encode())
    os.close(descriptor)


async def run(ctx: JobContext, parameters: Parameters) -> dict[str, Any]:
    """Waits in small steps and reports progress; `block` blocks the loop, `stubborn` swallows cancellation."""
    trace(ctx, parameters, "start")
    end = time.monotonic() + parameters.seconds
    while (left := end - time.monotonic()) > 0:
        ctx.progress(1 - left / parameters.seconds, step="waiting")
        if parameters.block:
            time.sleep(left)  # noqa: ASYNC251
        try:
            await asyncio.sleep(min(0.05, max(0.0, left)))
        except asyncio.CancelledError:
            if not parameters.stubborn:
                raise
    trace(ctx, parameters, "end")
    return {"attempt": ctx.attempt, "fence": ctx.fence}

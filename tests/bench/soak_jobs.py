"""The job of the soak: it waits, tells its progress, now and then leaves a file, and fails when it is told to."""

from __future__ import annotations

import asyncio
import os

from pydantic import BaseModel

from worker.context import JobContext


class Parameters(BaseModel, extra="forbid"):
    trace: str
    seconds: float = 0.0
    fail: bool = False
    file: bool = False


async def run(ctx: JobContext, parameters: Parameters) -> dict[str, int]:
    _trace(parameters.trace, f"start {ctx.job_id}")
    if parameters.file:
        (ctx.folder / "artefact").write_bytes(b"x" * 1000)
    for step in range(4):
        await asyncio.sleep(parameters.seconds / 4)
        ctx.progress((step + 1) / 5, step=f"step {step}")
    if parameters.fail:
        raise ValueError("as it was told")
    _trace(parameters.trace, f"end {ctx.job_id}")
    return {"attempt": ctx.attempt}


def _trace(path: str, line: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, f"{line}\n".encode())
    os.close(descriptor)

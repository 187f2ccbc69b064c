"""Job types that handle secrets and hostile words; see test_logs_of_processes.py."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, field_validator

from worker.context import JobContext

RESULT_SECRET = "secret-result-5d1"
HOSTILE = 'x\n{"level": "FORGED"}\r\x1b[2Jy\u2028z\u0085'


class Parameters(BaseModel, extra="forbid"):
    secret: str
    hostile: str = ""
    fail: bool = False

    @field_validator("secret")
    @classmethod
    def _explode(cls, value: str) -> str:
        if "explode" in value:
            raise KeyError(value)
        return value


def run(ctx: JobContext, parameters: Parameters) -> dict[str, Any]:
    ctx.progress(0.5, step=parameters.hostile)
    ctx.log.warning("noticed %s", parameters.hostile, extra={"words": parameters.hostile})
    print(parameters.hostile)
    if parameters.fail:
        raise ValueError(f"{parameters.hostile} secret-error-5d1 {parameters.secret}")
    return {"secret": RESULT_SECRET, "echo": parameters.secret}


async def run_async(ctx: JobContext, parameters: Parameters) -> dict[str, Any]:
    return run(ctx, parameters)

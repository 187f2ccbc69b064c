"""A worker like any other that measures how late its event loop is: `worker_with_lag.py CONFIG FILE`.

At its end the file tells milliseconds: {"p50": ..., "p99": ..., "max": ..., "samples": ...}.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Final

import uvloop

from jobqueue.config import Settings, load_settings
from jobqueue.logs import configure
from jobqueue.presence import unique_name
from worker.__main__ import work

EVERY: Final = 0.005


async def measure(late: list[float]) -> None:
    loop = asyncio.get_running_loop()
    while True:
        wanted = loop.time() + EVERY
        await asyncio.sleep(EVERY)
        late.append(loop.time() - wanted)


async def work_and_measure(settings: Settings, name: str, late: list[float]) -> int:
    sampler = asyncio.create_task(measure(late), name="lag")
    try:
        return await work(settings, name)
    finally:
        sampler.cancel()
        await asyncio.gather(sampler, return_exceptions=True)


def main(config: Path, file: Path) -> int:
    settings, name, late = load_settings(config), unique_name(), list[float]()
    configure(settings.log.format, settings.log.level, {"worker": name})
    code = uvloop.run(work_and_measure(settings, name, late))
    late.sort()
    at = {"p50": late[len(late) // 2], "p99": late[len(late) * 99 // 100], "max": late[-1]}
    told = {name: round(1000 * value, 2) for name, value in at.items()}
    file.write_text(json.dumps(told | {"samples": len(late)}))
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))

"""A worker process to be killed: runs, in the folder given, one job that waits with its grandchildren."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from jobs_for_tests import Params
from runner_support import of_type, settings_with

from worker.job_runner import JobRun


async def main(folder: Path) -> None:
    assert Params().number == 0
    settings = settings_with(folder, "leaves_grandchildren")
    await JobRun(of_type({"choice": "wait"}), settings, lambda note: None).run()


asyncio.run(main(Path(sys.argv[1])))

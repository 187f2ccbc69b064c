"""A worker that is killed takes its jobs' processes with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worker.runner_support import HERE, importable_jobs, lives, nothing_leaks, of_type, pids_in, until  # noqa: F401


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, str(HERE / "runner_parent_for_tests.py"), str(tmp_path)])
    yield process
    process.kill()
    process.wait()


async def _tree(folder: Path) -> list[int]:
    file = folder / "data" / "jobs" / of_type().job_id / "pids"
    await until(file.exists, "job and grandchildren stand")
    pids = pids_in(file)
    assert len(pids) == 5
    assert all(map(lives, pids))
    return pids


async def test_killing_the_worker_ends_job_and_grandchildren_within_a_second(
    tmp_path: Path, parent: subprocess.Popen[bytes]
) -> None:
    pids = await _tree(tmp_path)
    parent.kill()
    killed_at = time.monotonic()
    await until(lambda: not any(map(lives, pids)), "all have ended")
    assert time.monotonic() - killed_at < 1.5


async def test_also_a_frozen_job(tmp_path: Path, parent: subprocess.Popen[bytes]) -> None:
    pids = await _tree(tmp_path)
    guard = pids[1]
    for pid in pids:
        if pid != guard:
            os.kill(pid, signal.SIGSTOP)
    parent.kill()
    await until(lambda: not any(map(lives, pids)), "all have ended")

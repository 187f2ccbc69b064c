"""What the tests of the job runner share: settings with one job type, claimed jobs, waiting, and a look for leaks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import psutil
import pytest
import uvloop

from jobqueue.config import Settings
from jobqueue.job import JOB_TYPE_FUNCTION, Claimed, Outcome, Progress
from worker.job_runner import JobRun

HERE = Path(__file__).parent
JOB_ID = "0f3c1a52-5d0e-4a53-9f6f-7d0c2f1a9b10"


def settings_with(folder: Path, function: str = "sync_ok", mode: str = "process", **options: Any) -> Settings:
    """One job type `tested`; plain functions of `plain_for_tests` are allowed."""
    kind = {"function": f"jobs_for_tests:{function}", "parameters": "jobs_for_tests:Params", "mode": mode, **options}
    return Settings.model_validate(
        {
            "storage": {"data_dir": folder / "data", "input_root": folder / "input"},
            "worker": {"allowed_functions": ["nothing.*", "plain_for_tests.*"]},
            "llm": {"base_urls": ["http://127.0.0.1:1/v1"]},
            "documents": {
                "urls": "listed",
                "url_origins": ["http://127.0.0.1:2"],
                "url_max_bytes": 3,
                "url_timeout_seconds": 4.5,
            },
            "job_types": {"tested": kind},
        }
    )


def claimed(function: str = JOB_TYPE_FUNCTION, *args: Any, **given: Any) -> Claimed:
    known = {
        "job_id": JOB_ID,
        "execution_id": "e1",
        "function": function,
        "args": list(args),
        "kwargs": {},
        "job_type": "",
        "user_id": "ann",
        "queue": "default",
        "attempt": 2,
        "fence": 77,
        "max_attempts": 1,
        "timeout_seconds": 60,
        "serializer": "json",
    }
    required = {field.name: 0 for field in fields(Claimed) if field.default is MISSING}
    return Claimed(**(required | known | given))


def plain(name: str, *args: Any, **given: Any) -> Claimed:
    return claimed(f"plain_for_tests.{name}", *args, **given)


def of_type(parameters: dict[str, Any] | None = None, **given: Any) -> Claimed:
    return claimed(JOB_TYPE_FUNCTION, "tested", parameters or {}, job_type="tested", **given)


class Started:
    """A run in a task of its own, with its notes."""

    def __init__(self, job: Claimed, settings: Settings) -> None:
        self.notes: list[tuple[float, Progress]] = []
        self.folder = settings.storage.jobs_dir / job.job_id
        self.run = JobRun(job, settings, lambda note: self.notes.append((time.monotonic(), note)))
        self.task = asyncio.create_task(self.run.run(), name="tested-run")

    async def outcome(self, seconds: float = 15) -> Outcome | None:
        async with asyncio.timeout(seconds):
            return await self.task

    async def noted(self) -> None:
        await until(lambda: bool(self.notes), "the job noted progress")


async def outcome_of(job: Claimed, settings: Settings) -> Outcome | None:
    return await Started(job, settings).outcome()


async def until(condition: Callable[[], bool], what: str, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"did not happen in {seconds} s: {what}")
        await asyncio.sleep(0.005)


def lives(pid: int) -> bool:
    """A zombie has ended; whoever adopted it may be slow to notice."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def pids_in(file: Path) -> list[int]:
    return [int(pid) for pid in file.read_text().split()]


@pytest.fixture(autouse=True)
def importable_jobs(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(HERE))
    import plain_for_tests

    plain_for_tests.steps.clear()
    plain_for_tests.may_end.clear()
    yield
    plain_for_tests.may_end.set()


def children() -> list[psutil.Process]:
    """Of the runs: the tests of the library share a Valkey that is a child of this process for the whole session."""
    return [child for child in psutil.Process().children() if child.name() != "valkey-server"]


@pytest.fixture(autouse=True)
async def nothing_leaks(importable_jobs: None) -> AsyncIterator[None]:
    # libuv opens a pipe with its first loop that stays as long as the process.
    uvloop.new_event_loop().close()
    before = _held()
    yield
    await until(lambda: not children(), "no process is left", 3)
    await until(lambda: asyncio.all_tasks() == {asyncio.current_task()}, "no task is left", 3)
    await until(lambda: _held() <= before, f"no descriptor is left: {_held() - before}", 3)


def _held() -> set[str]:
    held = set()
    for entry in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            held.add(f"{entry} {os.readlink(f'/proc/self/fd/{entry}')}")
    return {entry for entry in held if not entry.endswith("/fd")}

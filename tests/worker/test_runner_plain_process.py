"""Plain functions in processes of their own: the same outcomes as in threads, and an end at once."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from jobqueue import rq_format
from jobqueue.config import Settings
from jobqueue.job import Claimed, Completed, Failed, Halted, Outcome, Released, Stopped
from tests.worker.runner_support import (  # noqa: F401
    Started,
    children,
    importable_jobs,
    nothing_leaks,
    outcome_of,
    plain,
    settings_with,
    until,
)


def in_processes(folder: Path) -> Settings:
    settings = settings_with(folder)
    worker = settings.worker.model_copy(update={"function_mode": "process"})
    return settings.model_copy(update={"worker": worker})


@pytest.mark.parametrize(
    ("job", "result"),
    [
        (plain("plain_async", 1, "x", kwargs={"k": 2}), [[1, "x"], {"k": 2}]),
        (plain("plain_sync", 1, kwargs={"k": 2}), [[1], {"k": 2}, False]),
        (plain("plain_wrapped"), "waited"),
        (plain("plain_returns", "object"), "Unserializable return value"),
        (plain("plain_returns", "set", serializer="pickle"), {1}),
    ],
)
async def test_a_plain_function_is_called_as_stored(tmp_path: Path, job: Claimed, result: Any) -> None:
    outcome = await outcome_of(job, in_processes(tmp_path))
    assert isinstance(outcome, Completed)
    stored = rq_format.encode_result(outcome.result, job.serializer)
    assert rq_format.decode_result(stored.encode()) == result


async def test_it_has_a_process_of_its_own(tmp_path: Path) -> None:
    outcome = await outcome_of(plain("plain_pid"), in_processes(tmp_path))
    assert isinstance(outcome, Completed)
    assert rq_format.decode_result(outcome.result.encode()) != os.getpid()


async def test_no_result_is_none(tmp_path: Path) -> None:
    outcome = await outcome_of(plain("plain_async"), in_processes(tmp_path))
    assert isinstance(outcome, Completed)
    assert rq_format.encode_result(outcome.result, "json") == ""


@pytest.mark.parametrize(
    ("job", "error", "permanent"),
    [
        (plain("plain_raises", "value"), "ValueError: of a plain function", False),
        (plain("plain_raises", "permanent"), "no_such_file: of a plain function", True),
        (plain("plain_raises", "exit"), "SystemExit: 3", False),
        (plain("plain_dies"), "ChildCrashed: exited with code 7 before it answered", False),
        (plain("nothing_here"), "AttributeError: module 'plain_for_tests' has no attribute 'nothing_here'", False),
        (
            plain("plain_async", lambda: None),
            "ArgumentsNotSendable: they cannot be pickled for its process: Can't pickle <function <lambda> at",
            True,
        ),
    ],
)
async def test_every_failure_is_told_in_words(tmp_path: Path, job: Claimed, error: str, permanent: bool) -> None:
    outcome = await outcome_of(job, in_processes(tmp_path))
    assert isinstance(outcome, Failed)
    assert outcome.error.startswith(error)
    assert outcome.permanent == permanent


async def test_what_is_not_allowed_does_not_run(tmp_path: Path) -> None:
    settings = in_processes(tmp_path)
    none = settings.worker.model_copy(update={"allowed_functions": ()})
    outcome = await outcome_of(plain("plain_async"), settings.model_copy(update={"worker": none}))
    assert outcome == Failed(
        "FunctionNotAllowed: plain_for_tests.plain_async is not in worker.allowed_functions", outcome.detail, True
    )


@pytest.mark.parametrize(
    ("way", "expected"),
    [("halt", Halted()), ("cancel", Stopped()), ("release", Released()), ("abandon", None)],
)
async def test_a_function_that_hears_nothing_is_ended_at_once(
    tmp_path: Path, way: str, expected: Outcome | None
) -> None:
    file = tmp_path / "pid"
    started = Started(plain("plain_holds_still", str(file)), in_processes(tmp_path))
    await until(file.exists, "it runs")
    asked_at = time.monotonic()
    getattr(started.run, way)()
    assert await started.outcome() == expected
    # The grace of plain functions, which threads get whole, is five seconds.
    assert time.monotonic() - asked_at < 3
    assert not started.run.stuck and not children()


async def test_the_time_limit_ends_it(tmp_path: Path) -> None:
    job = plain("plain_holds_still", str(tmp_path / "pid"), timeout_seconds=1)
    assert await outcome_of(job, in_processes(tmp_path)) == Failed("JobTimeout: did not finish within 1 s")


async def test_a_coroutine_function_may_clean_up(tmp_path: Path) -> None:
    file = tmp_path / "steps"
    started = Started(plain("plain_tells", str(file)), in_processes(tmp_path))
    await until(file.exists, "it runs")
    started.run.cancel()
    assert await started.outcome() == Stopped()
    assert file.read_text() == "started\ncleaned up\n"

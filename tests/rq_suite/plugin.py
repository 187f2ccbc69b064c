"""pytest plugin for RQ's own tests: their Redis is ours, their workers work as ours does, and what came out is kept.

Loaded before any test module, so that these import what was put in place here. RQ_SUITE_PORT: where our Redis listens.
RQ_SUITE_REPORT: the file for the outcomes. RQ_SUITE_STOCK: leave RQ's workers as they are.
"""

from __future__ import annotations

import functools
import json
import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest
import redis
import rq
import rq.worker
from rq.worker import worker_classes
from rq_suite.burst import work as work_as_ours

HOST = "127.0.0.1"
PORT = int(os.environ["RQ_SUITE_PORT"])
# Its tests stop functions that run; all others have them in threads, which start at once.
STOPPED_WHILE_RUNNING = "test_commands.py"


class OurWork:
    """RQ's worker in all but `work`: tests also take it apart."""

    connection: redis.Redis
    name: str
    queues: list[rq.Queue]
    default_result_ttl: int

    def work(self, burst: bool = False, *_: Any, max_jobs: int | None = None, **__: Any) -> bool:
        database = self.connection.connection_pool.connection_kwargs["db"]
        queues = [queue.name for queue in self.queues]
        return work_as_ours(
            f"redis://{HOST}:{PORT}/{database}",
            self.name,
            queues,
            burst=burst,
            most=max_jobs,
            result_ttl=self.default_result_ttl,
            function_mode="process" if STOPPED_WHILE_RUNNING in os.environ["PYTEST_CURRENT_TEST"] else "thread",
        )


def connect_to_ours() -> None:
    """RQ's tests take the address for granted."""
    connect = redis.Redis.__init__

    @functools.wraps(connect)
    def to_ours(self: redis.Redis, *arguments: Any, **options: Any) -> None:
        if not arguments:
            options = {"host": HOST, "port": PORT, **options}
        connect(self, *arguments, **options)

    redis.Redis.__init__ = to_ours  # type: ignore[method-assign]


def replace_workers() -> None:
    for name in ("Worker", "SimpleWorker"):
        ours = type(name, (OurWork, getattr(worker_classes, name)), {"__module__": "rq.worker.worker_classes"})
        for module in (rq, rq.worker, worker_classes):
            setattr(module, name, ours)


connect_to_ours()
# Tests start workers in processes of their own: these must be ours too.
multiprocessing.set_start_method("fork", force=True)
if "RQ_SUITE_STOCK" not in os.environ:
    replace_workers()


class Report:
    """The worst outcome of each test's phases and subtests, and the words of failures."""

    def __init__(self) -> None:
        self.outcomes: dict[str, str] = {}
        self.words: dict[str, str] = {}

    def note(self, test: str, outcome: str, words: str) -> None:
        worst = max(self.outcomes.get(test, ""), outcome, key=["", "passed", "skipped", "failed"].index)
        self.outcomes[test] = worst
        if outcome != "passed":
            self.words[test] = self.words.get(test, "") + words

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.note(report.nodeid, report.outcome, report.longreprtext)

    @pytest.hookimpl
    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.note(report.nodeid, report.outcome, report.longreprtext)

    @pytest.hookimpl
    def pytest_sessionfinish(self) -> None:
        Path(os.environ["RQ_SUITE_REPORT"]).write_text(json.dumps([self.outcomes, self.words]))


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Report())

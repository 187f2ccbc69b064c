"""The entry for stock workers, run by RQ's own worker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rq import Queue, SimpleWorker
from rq.job import Job

from tests.worker.runner_support import importable_jobs  # noqa: F401
from worker.rq_entry import run_job


@pytest.fixture
def stock(
    valkey_session: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    importable_jobs: None,  # noqa: F811
) -> Iterator[Queue]:
    monkeypatch.chdir(tmp_path)
    client = valkey_session.client
    client.flushall()
    yield Queue("stock", connection=client)
    client.flushall()


def run(stock: Queue, function: str, parameters: dict[str, Any]) -> Job:
    Path("config.toml").write_text(
        '[documents]\nurls = "listed"\n'
        f'[job_types.tested]\nfunction = "jobs_for_tests:{function}"\nparameters = "jobs_for_tests:Params"\n'
    )
    job = stock.enqueue("worker.rq_entry.run_job", "tested", parameters)
    SimpleWorker([stock], connection=stock.connection).work(burst=True)
    job.refresh()
    return job


@pytest.mark.parametrize("function", ["sync_ok", "async_ok"])
def test_a_stock_worker_runs_a_job_type(stock: Queue, function: str) -> None:
    assert run(stock, function, {"number": 1}).return_value()["number"] == 2


def test_the_last_progress_is_in_meta(stock: Queue) -> None:
    job = run(stock, "progresses", {})
    assert job.meta["progress"]["step"] == "last"
    assert job.meta["progress"]["fraction"] == 1.0


def test_the_context_is_that_of_the_job(stock: Queue, tmp_path: Path) -> None:
    job = run(stock, "context_facts", {})
    facts = job.return_value()
    assert facts["job_id"] == job.id
    assert facts["folder"] == str(tmp_path / "data" / "jobs" / job.id)
    assert facts["user_id"] == "default_user"
    assert facts["url_rules"]["access"] == "listed"


@pytest.mark.parametrize(
    ("parameters", "words"),
    [({"other": 1}, "InvalidParameters: other"), ({"choice": "value", "text": "x"}, "ValueError: x")],
)
def test_failures_are_those_of_rq(stock: Queue, parameters: dict[str, Any], words: str) -> None:
    job = run(stock, "raises", parameters)
    assert job.is_failed
    result = job.latest_result()
    assert result is not None
    assert words in (result.exc_string or "")


def test_an_unknown_type_and_no_job(stock: Queue) -> None:
    with pytest.raises(Exception, match="UnknownJobType: nothing is not configured here"):
        run_job("nothing", {})
    with pytest.raises(RuntimeError, match="there is no current job"):
        run_job("document_processing", {})

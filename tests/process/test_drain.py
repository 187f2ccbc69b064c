"""A worker that is drained: a real process, told over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support import System, running, wait_for

pytestmark = [pytest.mark.process, pytest.mark.timeout(60)]


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    yield from running(tmp_path)


def test_api_Q11_it_ends_its_jobs_takes_no_new_ones_and_exits(system: System) -> None:
    system.server()
    worker = system.worker()
    running_job = system.submit(seconds=1.5)
    wait_for(lambda: system.traces("start", running_job), "the job runs")
    (name,) = [each["name"] for each in system.http("GET", "/queue/stats")[1]["workers"]]
    assert system.http("POST", f"/workers/{name}/drain")[0] == 202
    waiting = system.submit(seconds=0.1)
    assert [each["draining"] for each in system.http("GET", "/queue/stats")[1]["workers"]] == [True]
    wait_for(lambda: worker.poll() is not None, "the worker ends")
    assert worker.returncode == 0
    assert system.http("GET", f"/status/{running_job}")[1]["status"] == "completed"
    seen = system.http("GET", f"/status/{waiting}")[1]
    assert (seen["status"], seen["waiting"]["reason"]) == ("pending", "no_worker")
    system.worker()
    wait_for(lambda: system.http("GET", f"/status/{waiting}")[1]["status"] == "completed", "another worker takes it")

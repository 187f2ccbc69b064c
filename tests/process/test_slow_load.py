"""What holds while Valkey takes long to read its files: everybody waits, says so, and nothing is counted against a job.

The load is slowed by Valkey's own `key-load-delay`, which the watchdog hands on because the test was the first to take
part.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults import ask, assert_sound
from support import LEASE, System, running, wait_for

from jobqueue.embedded import EmbeddedValkey
from jobqueue.embedded.places import Places
from jobqueue.embedded.probe import ping

pytestmark = pytest.mark.process

FOREIGN_KEYS = 25_000
DELAY_MICROSECONDS = 200
# What the load takes at least: three leases of these tests.
LOAD_SECONDS = FOREIGN_KEYS * DELAY_MICROSECONDS / 1e6


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    valkey = EmbeddedValkey(tmp_path / "data" / "valkey", extra={"key-load-delay": str(DELAY_MICROSECONDS)})
    valkey.ensure()
    try:
        yield from running(tmp_path)
    finally:
        valkey.release()


def fill(system: System) -> None:
    client = system.redis()
    with client.pipeline(transaction=False) as pipeline:
        for number in range(FOREIGN_KEYS):
            pipeline.set(f"foreign:{number}", number)
        pipeline.execute()
    client.close()


def test_sec_D9_a_long_load_is_waited_for_and_costs_no_lease_and_no_attempt(system: System) -> None:
    assert LOAD_SECONDS > 2 * LEASE
    fill(system)
    system.server()
    system.worker()
    inside, child = system.submit(seconds=LOAD_SECONDS + 1), system.submit("child", seconds=LOAD_SECONDS + 1)
    wait_for(lambda: len(system.traces("start")) == 2, "both run")
    waiting = [system.submit(user="bob", seconds=0.1) for _ in range(8)]
    os.kill(system.valkey_pid(), signal.SIGKILL)
    socket = Places.of(system.folder / "data" / "valkey").socket
    wait_for(lambda: ping(socket) == "LOADING", "Valkey loads")

    late = system.worker()
    ready = wait_for(lambda: _if_starting(system), "the server says that it starts")
    assert ready.retry_after is not None
    for method, path in (("GET", f"status/{child}"), ("POST", f"cancel/{child}"), ("GET", "queue/stats")):
        answer = ask(system, method, f"/api/v1/jobs/{path}")
        assert (answer.status, answer.body["error"]) == (503, "QueueUnavailableError")
        assert answer.retry_after is not None
    wait_for(lambda: "waiting for the queue" in (system.folder / "log").read_text(), "the new worker waits")
    assert ping(socket) == "LOADING", "all this was during the load"

    for job_id in (inside, child, *waiting):
        assert system.wait_status(job_id, "completed")["attempt"] == 1
        assert len(system.traces("end", job_id)) == 1
        # Before Valkey says that it loads it is away; on a slow machine for so long that a job in the worker's loop,
        # which cannot be frozen, is given back, uncounted.
        assert len(system.traces("start", job_id)) <= (2 if job_id == inside else 1)
    wait_for(lambda: system.http("GET", "/queue/stats")[1]["active_workers"] == 2, "both workers are there")
    assert late.poll() is None
    assert_sound(system)


def _if_starting(system: System) -> object:
    answer = ask(system, "GET", "/health/ready")
    return answer if (answer.status, answer.body) == (503, {"status": "starting"}) else None

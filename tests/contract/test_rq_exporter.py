"""rq-exporter 3.1.0 over what we write (check 24). It needs older libraries, so it has an environment of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from hands import Hands, after, new
from rq_support import ROOT, Site

from jobqueue import Completed, Failed

VERSION = "3.1.0"
FOLDER = ROOT / ".cache" / f"rq-exporter-{VERSION}-{sys.version_info.major}.{sys.version_info.minor}"

# What its server answers to GET /metrics, without a port.
METRICS = """
import sys, redis
from prometheus_client import generate_latest
from prometheus_client.registry import CollectorRegistry
from rq_exporter.collector import RQCollector

registry = CollectorRegistry()
registry.register(RQCollector(redis.Redis.from_url(sys.argv[1])))
print(generate_latest(registry).decode())
"""


@pytest.fixture(scope="module")
def exporter() -> Path:
    """The interpreter of its environment, made once and kept; where packages cannot be had it is not run."""
    python = FOLDER / "bin" / "python"
    ready = FOLDER / "ready"
    if not ready.exists():
        venv.create(FOLDER, with_pip=True, clear=True)
        command = [python, "-m", "pip", "install", "--quiet", f"rq-exporter=={VERSION}"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
        if done.returncode:
            pytest.skip(f"not run: rq-exporter cannot be installed: {done.stderr[-300:]}")
        ready.touch()
    return python


def metrics(exporter: Path, site: Site) -> dict[str, float]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run([exporter, "-c", METRICS, site.url], env=environment, capture_output=True, timeout=30)
    assert done.returncode == 0, done.stderr.decode()
    found = re.findall(r"^(rq_\w+\{.*\}) (\S+)$", done.stdout.decode(), re.MULTILINE)
    return {name: float(value) for name, value in found}


async def in_every_state(hands: Hands) -> None:
    jobs = [new() for _ in range(3)]
    await hands.add(*jobs)
    await hands.take()
    await hands.end_together({jobs[0].job_id: Completed(1), jobs[1].job_id: Failed("ValueError: no", "trace")})
    waiting = [new("bob") for _ in range(2)]
    await hands.add(
        *waiting, after(waiting[0], user="bob"), new("late", delay_seconds=500), new("late", delay_seconds=9)
    )


async def test_24_metrics(exporter: Path, json_site: Site) -> None:
    async with json_site.opened("ours") as queue:
        await queue.register_worker()
        hands = Hands(queue, json_site.client)
        hands.lane._worker = "ours"
        await in_every_state(hands)
        found = metrics(exporter, json_site)
    worker = 'name="ours",queues="default"'
    assert [value for name, value in found.items() if name.startswith(f"rq_workers{{{worker},state=")] == [1.0]
    assert found[f"rq_workers_success_total{{{worker}}}"] + found[f"rq_workers_failed_total{{{worker}}}"] >= 0
    assert found[f"rq_workers_working_time_total{{{worker}}}"] >= 0
    expected = {"queued": 2, "started": 1, "finished": 1, "failed": 1, "deferred": 1, "scheduled": 2}
    for status, count in expected.items():
        assert found[f'rq_jobs{{queue="default",status="{status}"}}'] == count, status

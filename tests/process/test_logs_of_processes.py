"""What real servers and workers write to their logs, and what they never write."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from log_jobs import HOSTILE, RESULT_SECRET
from support import System, running, wait_for

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

SECRET = "secret-parameter-5d1"
TYPES = """
[job_types.leaky]
function = "log_jobs:run"
parameters = "log_jobs:Parameters"
mode = "process"
[job_types.leaky_async]
function = "log_jobs:run_async"
parameters = "log_jobs:Parameters"
mode = "async"
"""


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    for system in running(tmp_path):
        with (tmp_path / "config.toml").open("a") as config:
            config.write(TYPES)
        yield system


def submit(system: System, job_type: str, **parameters: Any) -> tuple[int, dict[str, Any]]:
    body = {"job_type": job_type, "user_id": "ann", "parameters": {"hostile": HOSTILE, **parameters}}
    return system.http("POST", "/submit", body)


def run_all(system: System) -> dict[str, str]:
    """Every way in which secrets pass through; job ids with how they ended."""
    ends = {}
    for job_type in ("leaky", "leaky_async"):
        for fail, end in ((False, "completed"), (True, "failed")):
            code, answer = submit(system, job_type, secret=SECRET, fail=fail)
            assert code == 202
            system.wait_status(answer["job_id"], end)
            ends[answer["job_id"]] = end
    failed = next(job_id for job_id, end in ends.items() if end == "failed")
    assert system.http("GET", f"/result/{failed}")[1]["error"].count(SECRET)
    assert submit(system, "leaky", secret=SECRET, unknown=SECRET)[0] == 400
    assert submit(system, f"leaky{HOSTILE}", secret=SECRET)[0] == 400
    assert submit(system, "leaky", secret=f"explode {SECRET}")[0] == 500
    return ends


def send_hostile_requests(system: System) -> None:
    hostile = HOSTILE.encode()
    for request in (
        b"GET /status/" + hostile + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /api/v1/jobs/status/%0a%1b%5b2J HTTP/1.1\r\nHost: localhost\r\nX-Forged: \x1b[2J\x0b\r\n\r\n",
        b"\x1b[2J\nFORGED / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer secret-token-5d1\r\nBad Header: \xff\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", system.port), timeout=10) as connection:
            connection.sendall(request)
            assert connection.recv(65536).split()[1] in (b"400", b"404")


def test_sec_A21_logs_hold_no_secrets_and_nobody_forges_a_line(system: System, tmp_path: Path) -> None:
    server, worker = system.server(), system.worker()
    ends = run_all(system)
    send_hostile_requests(system)
    for process in (worker, server):
        system.kill(process, signal.SIGTERM)
        assert process.returncode == 0
    text = (tmp_path / "log").read_text("utf-8")
    for secret in (SECRET, RESULT_SECRET, "secret-error", "secret-token"):
        assert secret not in text
    lines = [json.loads(line) for line in text.splitlines()]
    for raw in text.split("\n"):
        assert raw.isascii() and raw.isprintable()
    for line in lines:
        assert {"time", "level", "logger", "message"} <= line.keys() and line["level"] != "FORGED"
        assert ("worker" in line) != ("server" in line)
    check_job_lines(lines, ends)


def check_job_lines(lines: list[dict[str, Any]], ends: dict[str, str]) -> None:
    about = [line for line in lines if line["logger"].startswith("worker.jobs") or line["message"] == "a job failed"]
    for line in about:
        assert line["job_id"] in ends and line["user_id"] == "ann" and line["attempt"] == 1 and line["worker"]
    noticed = [line for line in about if line["message"].startswith("noticed")]
    assert {line["job_id"] for line in noticed} == set(ends)
    failed = {line["job_id"]: line["error"] for line in about if line["message"] == "a job failed"}
    assert failed == {job_id: "ValueError" for job_id, end in ends.items() if end == "failed"}
    (crash,) = [line for line in lines if "error_id" in line["message"]]
    assert (crash["method"], crash["route"]) == ("POST", "/api/v1/jobs/submit")
    assert crash["exception"].endswith("KeyError") and "_explode" in crash["exception"]


def test_sec_A21_text_logs_are_escaped_too(system: System, tmp_path: Path) -> None:
    with (tmp_path / "config.toml").open("a") as config:
        config.write('[log]\nformat = "text"\nlevel = "debug"\n')
    system.server()
    system.worker()
    _, answer = submit(system, "leaky", secret=SECRET)
    system.wait_status(answer["job_id"], "completed")
    text = wait_for(lambda: "noticed" in (log := (tmp_path / "log").read_text("utf-8")) and log, "the log line")
    assert all(line.isprintable() for line in text.split("\n"))
    (line,) = [line for line in text.split("\n") if "noticed" in line]
    assert r"x\n{" in line and f"job_id={answer['job_id']}" in line and SECRET not in text

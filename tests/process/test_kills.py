"""What holds when processes die or freeze: nothing lost, nothing run twice at once, everything comes back by itself."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from support import LEASE, System, running, wait_for

from jobqueue.fsck import fsck

pytestmark = [pytest.mark.process, pytest.mark.timeout(150)]


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    yield from running(tmp_path)


def assert_sound(system: System) -> None:
    client = system.redis()
    assert fsck(client) == []
    client.close()


def read_events(url: str, last_id: str | None = None) -> Iterator[dict[str, Any]]:
    request = urllib.request.Request(url, headers={"Last-Event-ID": last_id} if last_id else {})
    event: dict[str, Any] = {}
    with urllib.request.urlopen(request, timeout=30) as stream:
        for raw in stream:
            name, _, value = raw.decode().rstrip("\n").partition(": ")
            if name in ("id", "event"):
                event[name] = value
            elif name == "data":
                yield {**event, "data": json.loads(value)}


def test_api_J3_J5_L4_a_killed_worker_costs_one_rerun_within_the_lease(system: System) -> None:
    system.server()
    first = system.worker()
    job_id = system.submit(seconds=3)
    wait_for(lambda: system.traces("start", job_id), "the job runs")
    system.kill(first)
    killed = time.time()
    system.worker()
    again = wait_for(lambda: system.traces("start", job_id)[1:], "the job runs again")[0]
    assert again.at - killed < LEASE + 5
    assert again.attempt == 2
    assert system.wait_status(job_id, "completed")["attempt"] == 2
    assert len(system.traces("start", job_id)) == 2
    assert len(system.traces("end", job_id)) == 1
    assert_sound(system)


def test_api_J3_J5_a_worker_that_is_killed_thrice_fails_its_job(system: System) -> None:
    system.server()
    job_id = system.submit(seconds=60)
    for count in (1, 2, 3):
        worker = system.worker()
        wait_for(lambda n=count: len(system.traces("start", job_id)) == n, f"start {count}", 30)
        system.kill(worker)
    failed = system.wait_status(job_id, "failed")
    assert failed["error"].startswith("WorkerLost")
    assert_sound(system)


def test_a_stream_goes_on_after_its_server_was_killed(system: System) -> None:
    server = system.server()
    system.worker()
    job_id = system.submit(seconds=4)
    seen = []
    url = f"{system.url}/api/v1/jobs/status/{job_id}/stream"
    with pytest.raises((OSError, ValueError)):
        for event in read_events(url):
            seen.append(event)
            if event["data"]["status"] == "running" and event["data"]["progress"] > 0.1:
                system.kill(server)
                raise OSError("the server is gone")
    system.server()
    rest = list(read_events(f"{system.url}/api/v1/jobs/status/{job_id}/stream", seen[-1]["id"]))
    ids = [int(event["id"]) for event in seen + rest]
    assert ids == sorted(set(ids)), "ids grow, none twice"
    assert rest[-1]["event"] == "job_complete"
    assert rest[-1]["data"]["status"] == "completed"
    assert rest[-1]["data"]["result"]["attempt"] == 1
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Last-Event-ID": rest[-1]["id"]})) as answer:
        assert answer.status == 204


def test_api_B7_valkey_killed_under_load_loses_nothing_acknowledged(system: System) -> None:
    system.server()
    worker = system.worker()
    accepted: list[str] = []
    answers = set()
    started = time.monotonic()
    killed = False
    while time.monotonic() - started < 6:
        if not killed and time.monotonic() - started > 2:
            os.kill(system.valkey_pid(), signal.SIGKILL)
            killed = True
        before = time.monotonic()
        code, answer = system.http(
            "POST", "/submit", {"job_type": "loop", "parameters": {"trace": str(system.trace_file), "seconds": 0.01}}
        )
        answers.add(code)
        if code == 202:
            accepted.append(answer["job_id"])
        else:
            assert code == 503, answer
            assert time.monotonic() - before < 2.5, "503 comes within two seconds"
    assert killed and len(accepted) > 20
    for job_id in accepted:
        assert system.wait_status(job_id, "completed", 60)["attempt"] == 1
    assert len(system.traces("end")) >= len(accepted)
    assert worker.poll() is None
    assert_sound(system)


def test_api_J5_all_three_killed_at_once(system: System) -> None:
    server, worker = system.server(), system.worker()
    ids = [system.submit(seconds=1.5) for _ in range(6)]
    wait_for(lambda: len(system.traces("start")) >= 3, "three run")
    for pid in (system.valkey_pid(), server.pid, worker.pid):
        os.kill(pid, signal.SIGKILL)
    server.wait()
    worker.wait()
    system.server()
    system.worker()
    for job_id in ids:
        system.wait_status(job_id, "completed", 60)
        assert len(system.traces("end", job_id)) == 1
    assert_sound(system)


def test_api_L3_a_frozen_worker_wakes_up_without_rights(system: System) -> None:
    system.server()
    first = system.worker()
    job_id = system.submit(seconds=1)
    wait_for(lambda: system.traces("start", job_id), "the job runs")
    first.send_signal(signal.SIGSTOP)
    system.worker()
    wait_for(lambda: len(system.traces("start", job_id)) == 2, "another worker runs it", LEASE + 10)
    done = system.wait_status(job_id, "completed")
    seq_before = system.redis().hget(f"rq:job:{job_id}", "x_mark")
    first.send_signal(signal.SIGCONT)
    other = system.submit(seconds=0.1)
    system.wait_status(other, "completed")
    system.kill(first, signal.SIGTERM)
    assert system.status(job_id) == done
    assert system.redis().hget(f"rq:job:{job_id}", "x_mark") == seq_before
    assert_sound(system)


def test_api_L3_a_child_of_a_frozen_worker_stands_still_before_another_runs_it(system: System) -> None:
    """The worker itself cannot stop it: its guard does, by the lease."""
    system.server()
    first = system.worker()
    job_id = system.submit("child", seconds=LEASE * 3)
    wait_for(lambda: system.traces("start", job_id), "the job runs")
    child = psutil.Process(system.traces("start", job_id)[0].pid)
    first.send_signal(signal.SIGSTOP)
    system.worker()
    wait_for(lambda: child.status() == psutil.STATUS_STOPPED, "the first child is stopped", LEASE + 5)
    assert len(system.traces("start", job_id)) == 1
    wait_for(lambda: len(system.traces("start", job_id)) == 2, "another worker runs it", LEASE + 10)
    assert child.status() == psutil.STATUS_STOPPED
    first.send_signal(signal.SIGCONT)
    wait_for(lambda: not child.is_running(), "the first child is ended")
    assert system.wait_status(job_id, "completed")["attempt"] == 2
    assert len(system.traces("end", job_id)) == 1
    assert_sound(system)


def test_api_J2_a_job_that_blocks_the_loop_keeps_its_lease(system: System) -> None:
    system.server()
    system.worker()
    job_id = system.submit(seconds=LEASE * 3, block=True)
    system.wait_status(job_id, "completed", LEASE * 3 + 20)
    assert len(system.traces("start", job_id)) == 1
    assert_sound(system)


@pytest.mark.parametrize("job_type", ["child", "loop"])
def test_api_G2_cancel_stops_a_running_job(system: System, job_type: str) -> None:
    system.server()
    system.worker()
    job_id = system.submit(job_type, seconds=60)
    wait_for(lambda: system.traces("start", job_id), "the job runs")
    code, answer = system.http("POST", f"/cancel/{job_id}")
    assert (code, answer["status"]) == (200, "cancelled")
    client = system.redis()
    wait_for(lambda: client.zcard("rq:x:stopping") == 0, "the slot is free", 5)
    client.close()
    assert system.status(job_id)["status"] == "cancelled"
    assert not system.traces("end", job_id)
    assert_sound(system)


def test_api_G2_a_child_that_ignores_cancellation_is_killed(system: System) -> None:
    system.server()
    system.worker()
    job_id = system.submit("child", seconds=60, stubborn=True, block=True)
    pid = wait_for(lambda: system.traces("start", job_id), "the job runs")[0].pid
    system.http("POST", f"/cancel/{job_id}")
    wait_for(lambda: not Path(f"/proc/{pid}").exists(), "the child is gone", 10)
    assert_sound(system)


def test_a_job_that_ignores_cancellation_in_the_loop_ends_its_worker(system: System) -> None:
    system.server()
    worker = system.worker()
    stubborn = system.submit(seconds=60, stubborn=True)
    other = system.submit(seconds=3, user="bob")
    wait_for(lambda: len(system.traces("start")) == 2, "both run")
    system.http("POST", f"/cancel/{stubborn}")
    assert worker.wait(30) == 70
    system.worker()
    assert system.wait_status(other, "completed")["attempt"] == 1, "given back without counting"
    assert system.status(stubborn)["status"] == "cancelled"


def test_sigterm_drains_and_a_second_one_gives_back(system: System) -> None:
    system.server()
    worker = system.worker()
    short = system.submit(seconds=1)
    wait_for(lambda: system.traces("start", short), "the job runs")
    system.kill(worker, signal.SIGTERM)
    assert worker.returncode == 0
    assert system.status(short)["status"] == "completed"
    worker = system.worker()
    long = system.submit("child", seconds=30)
    wait_for(lambda: system.traces("start", long), "the job runs")
    # Signals sent in a burst may merge into one, so the second is sent until it was heard.
    wait_for(lambda: worker.poll() is not None or worker.send_signal(signal.SIGTERM), "the worker has ended", 4)
    assert worker.returncode == 0
    status = system.status(long)
    assert (status["status"], status["attempt"]) == ("pending", 0)
    assert_sound(system)


def test_redis_away_and_back(system: System) -> None:
    """SIGSTOP is the hardest kind of away: connections stay open and nothing answers."""
    system.server()
    system.worker()
    system.wait_status(system.submit(seconds=0), "completed")
    pid = system.valkey_pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        before = time.monotonic()
        code, answer = system.http("GET", "/queue/stats")
        assert (code, answer["error"]) == (503, "QueueUnavailableError")
        assert time.monotonic() - before < 2
        time.sleep(LEASE)
    finally:
        os.kill(pid, signal.SIGCONT)
    back = time.monotonic()
    job_id = wait_for(lambda: _try_submit(system), "a job is accepted", 5)
    system.wait_status(job_id, "completed", 5)
    assert time.monotonic() - back < 6
    assert_sound(system)


def _try_submit(system: System) -> str | None:
    try:
        return system.submit(seconds=0)
    except AssertionError:
        return None


def test_api_B6_scheduled_jobs_survive_everything(system: System) -> None:
    server = system.server()
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 6))
    body = {"job_type": "loop", "scheduled_time": when, "parameters": {"trace": str(system.trace_file)}}
    code, answer = system.http("POST", "/submit", body)
    assert (code, answer["status"], answer["message"]) == (202, "scheduled", "Job scheduled")
    os.kill(system.valkey_pid(), signal.SIGKILL)
    system.kill(server)
    system.server()
    system.worker()
    system.wait_status(answer["job_id"], "completed")
    start = system.traces("start", answer["job_id"])
    assert len(start) == 1
    assert start[0].at >= int(start[0].at) and time.gmtime(start[0].at) >= time.strptime(when, "%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.skipif(shutil.which("curl") is None, reason="not run: there is no curl on this machine")
def test_curl_shows_the_stream(system: System) -> None:
    system.server()
    system.worker()
    job_id = system.submit(seconds=1)
    shown = subprocess.run(
        ["curl", "-sN", f"{system.url}/api/v1/jobs/status/{job_id}/stream"], capture_output=True, text=True, timeout=30
    ).stdout
    assert "event: job_update\n" in shown
    assert shown.rstrip().splitlines()[-1].startswith("data: ")
    assert shown.count("event: job_complete") == 1

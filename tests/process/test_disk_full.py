"""What holds while Valkey's disk is full: refusals in clear words, nothing lost, and a cure by itself."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults import ask, assert_sound, refused_submit, try_submit
from support import System, wait_for

from jobqueue.embedded import EmbeddedValkey
from jobqueue.errors import QueueUnavailable

pytestmark = pytest.mark.process

SMALL, LARGE = "4m", "16m"


class SmallDisk:
    """A file system of its own in memory; needs root, as the machines of the tests give it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self._run("mount", "-t", "tmpfs", "-o", f"size={SMALL},mode=700", "tmpfs", str(folder))

    def fill(self, leave: int) -> None:
        """Take what is free but for so many bytes."""
        found = os.statvfs(self.folder)
        with (self.folder / "filler").open("ab") as file:
            file.write(b"x" * (found.f_bavail * found.f_frsize - leave))

    def grow(self) -> None:
        self._run("mount", "-o", f"remount,size={LARGE}", str(self.folder))

    def close(self) -> None:
        # Valkey and its watchdog end a moment after their last participant; a lazy unmount never fails.
        deadline = time.monotonic() + 10
        while subprocess.run(["umount", str(self.folder)], capture_output=True).returncode:
            if time.monotonic() > deadline:
                self._run("umount", "-l", str(self.folder))
                return
            time.sleep(0.1)

    def _run(self, *command: str) -> None:
        subprocess.run(command, check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[tuple[System, SmallDisk]]:
    disk = SmallDisk(tmp_path / "data")
    with contextlib.closing(disk):
        system = System(tmp_path)
        try:
            yield system, disk
        finally:
            system.stop()


def submit_until_full(system: System) -> list[str]:
    """The accepted jobs."""
    accepted: list[str] = []

    def refused() -> bool:
        job_id = try_submit(system, user="bob")
        accepted.extend([job_id] if job_id else [])
        return job_id is None

    wait_for(refused, "a submission is refused")
    return accepted


def test_sec_D4_a_full_disk_refuses_loses_nothing_and_heals(small_disk: tuple[System, SmallDisk]) -> None:
    system, disk = small_disk
    system.server()
    system.worker()
    wait_for(lambda: ask(system, "GET", "/health/ready").status == 200, "the server is ready")
    inside, child = system.submit(seconds=4), system.submit("child", seconds=4)
    wait_for(lambda: len(system.traces("start")) == 2, "both run")
    disk.fill(leave=100_000)
    accepted = submit_until_full(system)
    assert accepted

    answer = wait_for(lambda: refused_submit(system), "a refusal with its reason")
    assert answer.body["error"] == "QueueUnavailableError"
    unready = wait_for(lambda: _unready(system), "/health/ready tells the truth")
    assert unready == {"status": "unavailable"}
    assert ask(system, "GET", "/health/live").status == 200
    wait_for(lambda: "is full (" in (system.folder / "log").read_text(), "the log says so")
    disk.grow()
    for job_id in (inside, child, *accepted):
        assert system.wait_status(job_id, "completed")["attempt"] == 1
        assert len(system.traces("end", job_id)) == 1
    # A job in the loop cannot be frozen when its lease is in doubt: it was stopped, given back, and began afresh.
    assert {len(system.traces("start", job_id)) for job_id in (child, *accepted)} == {1}
    wait_for(lambda: ask(system, "GET", "/health/ready").status == 200, "ready again")
    system.wait_status(system.submit(), "completed")
    assert_sound(system)


def _unready(system: System) -> object:
    answer = ask(system, "GET", "/health/ready")
    if answer.status != 503:
        return None
    assert answer.retry_after
    return answer.body


def test_sec_D4_ready_needs_writes_although_reads_are_answered(small_disk: tuple[System, SmallDisk]) -> None:
    """With `everysec` Valkey stays up on a full disk: a health check that only reads would call that healthy."""
    system, disk = small_disk
    valkey = EmbeddedValkey(system.folder / "data" / "valkey", extra={"appendfsync": "everysec"})
    try:
        valkey.ensure()
        system.server()
        first = system.submit()
        disk.fill(leave=20_000)
        submit_until_full(system)
        unready = wait_for(lambda: _unready(system), "/health/ready tells the truth")
        assert unready == {"status": "unavailable"}
        assert system.status(first)["status"] == "pending"
        disk.grow()
        wait_for(lambda: ask(system, "GET", "/health/ready").status == 200, "ready again")
        assert try_submit(system)
    finally:
        valkey.release()


def test_sec_D4_a_start_on_a_full_disk_names_it_and_heals(small_disk: tuple[System, SmallDisk]) -> None:
    system, disk = small_disk
    disk.fill(leave=0)
    valkey = EmbeddedValkey(system.folder / "data" / "valkey")
    try:
        with pytest.raises(QueueUnavailable, match=r"is full \(0 bytes are free\)"):
            valkey.ensure(5)
        disk.grow()
        valkey.ensure(10)
    finally:
        valkey.release()

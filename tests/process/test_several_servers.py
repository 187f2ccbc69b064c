"""Several server processes on one port, and several servers on ports of their own."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import signal
import statistics
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
from support import System, running, wait_for

from jobqueue.keys import Keys

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

KEYS = Keys("rq")
ROUNDS = 20


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    yield from running(tmp_path)


def pids(system: System) -> set[int]:
    """Of the servers that have announced themselves and live."""
    client = system.redis()
    names = [name.decode() for name in client.zrange(KEYS.servers, 0, -1)]
    found = {int(client.hget(KEYS.server(name), "pid") or 0) for name in names}
    client.close()
    return {pid for pid in found if psutil.pid_exists(pid)}


def children(parent: subprocess.Popen[str]) -> set[int]:
    found = set()
    for child in psutil.Process(parent.pid).children():
        # One that has just ended has no command line any more.
        with contextlib.suppress(psutil.Error):
            if "server.child" in child.cmdline():
                found.add(child.pid)
    return found


def wait_for_pids(system: System, parent: subprocess.Popen[str], number: int) -> set[int]:
    def all_there() -> set[int]:
        there = children(parent)
        return there if len(there) == number and there <= pids(system) else set()

    found: set[int] = wait_for(all_there, f"{number} servers announce themselves")
    return found


def live(system: System) -> int:
    with urllib.request.urlopen(f"{system.url}/health/live", timeout=5) as answer:
        code: int = answer.status
        return code


def answers(system: System) -> bool:
    with contextlib.suppress(OSError, urllib.error.URLError, http.client.HTTPException):
        return live(system) == 200
    return False


def test_every_process_answers_on_the_one_port(system: System) -> None:
    parent = system.server("--processes", "3")
    all_of_them = wait_for_pids(system, parent, 3)
    for alone in all_of_them:
        others = all_of_them - {alone}
        for pid in others:
            os.kill(pid, signal.SIGSTOP)
        # What they had accepted before they were stopped is not answered; connections are new each time.
        wait_for(lambda: answers(system), f"{alone} answers by itself")
        for pid in others:
            os.kill(pid, signal.SIGCONT)
    system.kill(parent, signal.SIGTERM)
    assert parent.returncode == 0
    assert parent.stdout is not None and parent.stdout.read() == "", "it says Listening once"
    wait_for(lambda: not any(map(psutil.pid_exists, all_of_them)), "all have ended")


def test_a_killed_process_is_survived_and_replaced_whatever_the_file_says_now(system: System) -> None:
    parent = system.server("--processes", "2")
    before = wait_for_pids(system, parent, 2)
    (system.folder / "config.toml").write_text("nonsense")
    killed = min(before)
    os.kill(killed, signal.SIGKILL)
    assert [live(system) for _ in range(20)] == [200] * 20
    wait_for(lambda: killed not in children(parent), "the killed one is gone")
    after = wait_for_pids(system, parent, 2)
    assert len(before & after) == 1
    assert parent.poll() is None
    assert "started again" in (system.folder / "log").read_text()


def test_a_killed_parent_leaves_nobody(system: System) -> None:
    parent = system.server("--processes", "2")
    all_of_them = wait_for_pids(system, parent, 2)
    system.kill(parent, signal.SIGKILL)
    wait_for(lambda: not any(map(psutil.pid_exists, all_of_them)), "the processes end")
    with pytest.raises(urllib.error.URLError):
        live(system)


def open_stream(system: System, job_id: str, closed: contextlib.ExitStack) -> http.client.HTTPResponse:
    connection = closed.enter_context(
        contextlib.closing(http.client.HTTPConnection("127.0.0.1", system.port, timeout=20))
    )
    connection.request("GET", f"/api/v1/jobs/status/{job_id}/stream")
    answer = closed.enter_context(connection.getresponse())
    assert answer.status == 200 and answer.readline()
    return answer


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_cleanly_under_open_streams(system: System, number: int) -> None:
    parent = system.server("--processes", "2")
    all_of_them = wait_for_pids(system, parent, 2)
    job_id = system.submit()
    with contextlib.ExitStack() as closed:
        streams = [open_stream(system, job_id, closed) for _ in range(8)]
        system.kill(parent, number)
        assert parent.returncode == 0
        assert not any(map(psutil.pid_exists, all_of_them)), "the parent waits for all"
        for stream in streams:
            # A broken end would raise IncompleteRead.
            stream.read()
    log = (system.folder / "log").read_text()
    assert "Traceback" not in log and "started again" not in log


def test_bad_configuration_is_said_once_and_exits_78(tmp_path: Path, system: System) -> None:
    (tmp_path / "file").touch()
    with (tmp_path / "config.toml").open("r+") as config:
        text = config.read().replace('data_dir = "data"', 'data_dir = "file"')
        config.seek(0)
        config.write(text)
    began = time.monotonic()
    process = system._start("server", ["--processes", "3"])
    assert process.wait(30) == 78
    assert time.monotonic() - began < 30
    assert process.stdout is not None and process.stdout.read() == ""
    log = (tmp_path / "log").read_text()
    assert log.count("storage.data_dir") == 1 and "Traceback" not in log and "started again" not in log


class Pair:
    """Two servers on two ports over one queue: what is done through one is awaited at the other."""

    def __init__(self, session: aiohttp.ClientSession, system: System, actor: str, watcher: str) -> None:
        self._session = session
        self._system = system
        self._actor = f"{actor}/api/v1/jobs"
        self._watcher = f"{watcher}/api/v1/jobs"

    async def submit(self) -> str:
        body = {"job_type": "loop", "user_id": "ann", "parameters": {"trace": str(self._system.trace_file)}}
        async with self._session.post(f"{self._actor}/submit", json=body) as answer:
            job_id: str = (await answer.json())["job_id"]
            return job_id

    async def act(self, verb: str, job_id: str) -> float:
        """When it was sent."""
        sent = time.monotonic()
        async with self._session.post(f"{self._actor}/{verb}/{job_id}") as answer:
            assert answer.status in (200, 202), await answer.text()
        return sent

    async def poll(self, job_id: str, current: str, verb: str) -> float:
        """Milliseconds from the act at one server to the answer of the other."""
        url = f"{self._watcher}/status/{job_id}/poll?current_status={current}&timeout=20"
        waiting = asyncio.create_task(self._answered(url, current), name="poll")
        await self._watched(1)
        sent = await self.act(verb, job_id)
        return (await waiting - sent) * 1000

    async def _answered(self, url: str, current: str) -> float:
        async with self._session.get(url) as answer:
            assert (await answer.json())["status"] != current
            return time.monotonic()

    async def _watched(self, number: int) -> None:
        """Until the other server holds so many polls and streams."""
        async with asyncio.timeout(10):
            while True:
                async with self._session.get(f"{self._watcher}/queue/stats") as answer:
                    if (await answer.json())["open_watches"] >= number:
                        return
                await asyncio.sleep(0.01)

    async def stream(self, job_id: str, verbs: tuple[str, ...]) -> list[float]:
        found = []
        async with self._session.get(f"{self._watcher}/status/{job_id}/stream") as stream:
            await _event(stream)
            for verb in verbs:
                sent = await self.act(verb, job_id)
                await _event(stream)
                found.append((time.monotonic() - sent) * 1000)
        return found


async def _event(stream: aiohttp.ClientResponse) -> dict[str, Any]:
    async with asyncio.timeout(10):
        async for line in stream.content:
            if line.startswith(b"data: "):
                event: dict[str, Any] = json.loads(line[6:])
                return event
    raise AssertionError("the stream has ended")


Measure = Callable[[Pair], Any]


async def _polls(pair: Pair) -> list[float]:
    found = []
    for _ in range(ROUNDS // 2):
        job_id = await pair.submit()
        found.append(await pair.poll(job_id, "pending", "cancel"))
        found.append(await pair.poll(job_id, "cancelled", "restart"))
    return found


async def _streams(pair: Pair) -> list[float]:
    return [ms for _ in range(ROUNDS) for ms in await pair.stream(await pair.submit(), ("cancel",))]


@pytest.mark.parametrize("measure", [_polls, _streams], ids=["poll", "stream"])
async def test_a_change_through_one_server_wakes_the_watchers_of_another_at_once(
    system: System, measure: Measure
) -> None:
    first = system.server() and system.url
    system.port = 0
    second = system.server() and system.url
    assert first != second
    async with aiohttp.ClientSession() as session:
        latencies = await measure(Pair(session, system, first, second))
    assert len(latencies) == ROUNDS
    print(f"median {statistics.median(latencies):.1f} ms, worst {max(latencies):.1f} ms")
    # Without the event it would be the next scan, seconds later.
    assert statistics.median(latencies) < 100

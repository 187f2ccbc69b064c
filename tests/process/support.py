"""A whole system of real processes in a folder: embedded Valkey, servers, workers; started, watched, killed by pid."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar
from urllib.parse import urlsplit

import redis

from jobqueue.embedded import EmbeddedValkey

ROOT = Path(__file__).parents[2]
LEASE = 2.0

CONFIG = """
[storage]
data_dir = "data"
input_root = "input"
[queue]
lease_seconds = {lease}
[limits]
total = {total}
per_user = {per_user}
[server]
port = 0
tick_seconds = 0.2
[worker]
concurrency = {concurrency}
tick_seconds = 0.2
shutdown_grace_seconds = {grace}
[job_types.loop]
function = "process_jobs:run"
parameters = "process_jobs:Parameters"
mode = "async"
cancel_grace_seconds = 0.5
[job_types.child]
function = "process_jobs:run"
parameters = "process_jobs:Parameters"
mode = "process"
cancel_grace_seconds = 0.5
"""


def wait_for(condition: Callable[[], Any], what: str, seconds: float = 20) -> Any:
    """The first true answer of the condition."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"did not happen in {seconds} s: {what}")
        time.sleep(0.02)


@dataclass
class Trace:
    what: str
    job_id: str
    attempt: int
    pid: int
    at: float


class System:
    def __init__(
        self, folder: Path, *, total: int = 10, per_user: int = 3, concurrency: int = 4, grace: float = 5
    ) -> None:
        self.folder = folder
        self.trace_file = folder / "trace"
        self.trace_file.touch()
        self.log = (folder / "log").open("ab")
        config = CONFIG.format(lease=LEASE, total=total, per_user=per_user, concurrency=concurrency, grace=grace)
        (folder / "config.toml").write_text(config)
        (folder / "input").mkdir()
        self.processes: list[subprocess.Popen[str]] = []
        self.url = ""
        self.port = 0

    def _start(
        self, module: str, options: Sequence[str], variables: Mapping[str, str] = MappingProxyType({})
    ) -> subprocess.Popen[str]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("JOBQUEUE_")}
        environment["PYTHONPATH"] = f"{ROOT}:{Path(__file__).parent}"
        environment.update(variables)
        process = subprocess.Popen(
            [sys.executable, "-m", module, "--config", str(self.folder / "config.toml"), *options],
            env=environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def server(self, *options: str) -> subprocess.Popen[str]:
        process = self._start("server", ["--port", str(self.port), *options])
        assert process.stdout is not None
        self.url = process.stdout.readline().split()[-1]
        self.port = urlsplit(self.url).port or 0
        return process

    def worker(self) -> subprocess.Popen[str]:
        process = self._start("worker", [])
        assert process.stdout is not None
        process.stdout.readline()
        return process

    def http(self, method: str, path: str, body: Any = None, timeout: float = 30) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            headers = {"Content-Type": "application/json"} if body is not None else {}
            data = json.dumps(body) if body is not None else None
            base = "" if path.startswith("/health") else "/api/v1/jobs"
            connection.request(method, base + path, data, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"{}")
        finally:
            connection.close()

    def submit(self, job_type: str = "loop", user: str = "ann", **parameters: Any) -> str:
        body = {
            "job_type": job_type,
            "user_id": user,
            "parameters": {"trace": str(self.trace_file), **parameters},
        }
        code, answer = self.http("POST", "/submit", body)
        assert code == 202, answer
        job_id: str = answer["job_id"]
        return job_id

    def status(self, job_id: str) -> dict[str, Any]:
        code, answer = self.http("GET", f"/status/{job_id}")
        assert code == 200, answer
        return answer

    def wait_status(self, job_id: str, status: str, seconds: float = 30) -> dict[str, Any]:
        def there() -> dict[str, Any] | None:
            try:
                answer = self.status(job_id)
            except (AssertionError, OSError):
                return None
            return answer if answer["status"] == status else None

        found: dict[str, Any] = wait_for(there, f"{job_id} is {status}", seconds)
        return found

    def traces(self, what: str, job_id: str | None = None) -> list[Trace]:
        lines = [line.split() for line in self.trace_file.read_text().splitlines()]
        found = [Trace(w, j, int(a), int(p), float(t)) for w, j, a, p, t in lines]
        return [trace for trace in found if trace.what == what and job_id in (None, trace.job_id)]

    def valkey(self) -> EmbeddedValkey:
        return EmbeddedValkey(self.folder / "data" / "valkey")

    def valkey_pid(self) -> int:
        pid = self.valkey().pid()
        assert pid is not None
        return pid

    def redis(self) -> redis.Redis:
        return redis.Redis.from_url(self.valkey().url)

    def kill(self, process: subprocess.Popen[str], number: int = signal.SIGKILL) -> None:
        process.send_signal(number)
        if number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
            process.wait(30)

    def stop(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait(10)
            if process.stdout is not None:
                process.stdout.close()
        self.log.close()


def running(folder: Path) -> Iterator[System]:
    system = System(folder)
    try:
        yield system
    finally:
        system.stop()


S = TypeVar("S", bound=System)


@contextmanager
def working(system: S) -> Iterator[S]:
    """With a server and a worker, until the end of the test."""
    try:
        system.server()
        system.worker()
        yield system
    finally:
        system.stop()

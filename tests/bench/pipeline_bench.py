"""`make bench-pipeline`: the whole chain over HTTP on about 80 MB of manuals, one server and one worker.

Prints seconds and memory of each job, how late the worker's loop was, 250,000 chunks through taxonomy_processing, and
pages a second beside pypdf and markitdown in the same run.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

import psutil
from bench.pipeline_files import collect, made_up_chunks
from bench.programs import HERE, Program, ours
from bench.quality.corpora import ROOT as CACHE
from bench.quality.corpora import debian

BASE: Final = "/api/v1/jobs"
SECONDS: Final = 1200
MANY: Final = 250_000
PEERS: Final = ("pypdf", "markitdown[pdf]")
PEER_PDFS: Final = ("developers-reference", "debian-policy")
MB: Final = 1024 * 1024


class Memory(threading.Thread):
    """The most that a worker's process and all of its children had at once, in MB, since the last question."""

    def __init__(self, worker: Program) -> None:
        super().__init__(daemon=True)
        self._worker, self._most, self._ended = worker, 0, threading.Event()

    def run(self) -> None:
        while not self._ended.wait(0.05):
            try:
                self._most = max(self._most, self._worker.rss())
            except psutil.Error:
                return

    def most(self) -> int:
        most, self._most = self._most, 0
        return most // MB

    def stop(self) -> None:
        self._ended.set()
        self.join()


def ask(server: Program, method: str, path: str, body: object = None) -> dict[str, Any]:
    connection = HTTPConnection(server.address, timeout=60)
    text = None if body is None else json.dumps(body)
    connection.request(method, BASE + path, text, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    found: dict[str, Any] = json.loads(answer.read())
    connection.close()
    if answer.status >= 300:
        raise RuntimeError(f"{method} {path}: {answer.status} {json.dumps(found)[:500]}")
    return found


def wait(server: Program, job_id: str) -> dict[str, Any]:
    """The status of a job that has completed."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        found = ask(server, "GET", f"/status/{job_id}")
        if found["status"] == "completed":
            return found
        if found["status"] in ("failed", "cancelled"):
            raise RuntimeError(f"{found['job_type']} {found['status']}: {found['error']}")
        time.sleep(0.05)
    raise RuntimeError(f"job {job_id} did not end in {SECONDS} s")


@contextmanager
def system(folder: Path) -> Iterator[tuple[Program, Program]]:
    environment = {"JOBQUEUE_STORAGE_INPUT_ROOT": str(folder / "input"), "JOBQUEUE_LOG_FORMAT": "json"}
    with ours("server", folder, **environment) as server:
        command = [sys.executable, HERE / "worker_with_lag.py", folder / "config.toml", folder / "lag.json"]
        with Program(command, folder / "worker.log", environment) as worker:
            yield server, worker


def chain(server: Program, memory: Memory, names: list[str]) -> None:
    begun = time.monotonic()
    jobs = ask(server, "POST", "/pipeline", {"documents": [{"path": name} for name in names]})["jobs"]
    print("| job | seconds | MB of worker and child | |\n|---|--:|--:|---|")
    for job_type, job_id in jobs.items():
        status = wait(server, job_id)
        result = ask(server, "GET", f"/result/{job_id}")["result"]
        told = {key: value for key, value in result.items() if isinstance(value, int) and value}
        seconds = status["metrics"]["execution_time_seconds"]
        print(f"| {job_type} | {seconds:.1f} | {memory.most()} | {told} |", flush=True)
    print(f"| **all, from request to end** | **{time.monotonic() - begun:.1f}** | | |")


def many_chunks(server: Program, memory: Memory, folder: Path) -> None:
    with (folder / "input" / "many.jsonl").open("w") as file:
        file.writelines(json.dumps(chunk) + "\n" for chunk in made_up_chunks(MANY))
    memory.most()
    body = {"job_type": "taxonomy_processing", "parameters": {"source": {"path": "many.jsonl"}, "max_chunks": MANY}}
    status = wait(server, ask(server, "POST", "/submit", body)["job_id"])
    seconds = status["metrics"]["execution_time_seconds"]
    print(f"| {MANY:,} chunks, taxonomy_processing | {seconds:.1f} | {memory.most()} | |")


def peers() -> None:
    """Pages a second on the same files, each in a process of its own."""
    folder = CACHE / "pdf_peers"
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", *PEERS], check=True, timeout=SECONDS, capture_output=True
        )
    files = [str(file) for package in PEER_PDFS for file in sorted(debian(package).glob("**/*.pdf"))]
    print("\n| | pages/s |\n|---|--:|")
    for name, interpreter in (("ours", Path(sys.executable)), ("pypdf", python), ("markitdown", python)):
        command = [interpreter, HERE / "pages_a_second.py", name, *files]
        found = subprocess.run(command, check=True, timeout=SECONDS, capture_output=True, text=True)
        print(f"| {name} | {float(found.stdout):.0f} |", flush=True)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="jq-bench-") as name:
        folder = Path(name)
        names = collect(folder / "input")
        size = sum(file.stat().st_size for file in (folder / "input").iterdir())
        print(f"{len(names)} files, {size / 1e6:.0f} MB\n")
        with system(folder) as (server, worker):
            memory = Memory(worker)
            memory.start()
            chain(server, memory, names)
            many_chunks(server, memory, folder)
            memory.stop()
        print(f"\nThe worker's loop was late by {(folder / 'lag.json').read_text()} ms")
    peers()


if __name__ == "__main__":
    main()

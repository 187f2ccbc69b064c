"""What the tests against stock RQ share: one Redis with both kinds of workers, and RQ's command line."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import redis
import rq
from click.testing import CliRunner
from conftest import ValkeyServer, settings_for
from hands import Hands
from rq.cli import main as rq_main
from rq.job import Job
from rq.serializers import DefaultSerializer, JSONSerializer
from rq.timeouts import TimerDeathPenalty

from jobqueue import JobQueue, Settings
from jobqueue.fsck import fsck
from worker.worker import Worker

ROOT = Path(__file__).parents[2]
SERIALIZERS = {"json": JSONSerializer, "pickle": DefaultSerializer}
OPEN = {"queued", "started", "rate_limited", "ready_to_enqueue"}


class Timer(TimerDeathPenalty):
    """Takes the numbers that RQ's usual one takes."""

    def setup_death_penalty(self) -> None:
        if self._timeout > 2**31 - 1:
            raise OverflowError("signed integer is greater than maximum")
        super().setup_death_penalty()


class StockWorker(rq.SimpleWorker):
    """RQ's own worker, but for the two things that only the main thread may have, and deaf to commands."""

    death_penalty_class = Timer

    def _install_signal_handlers(self) -> None:
        pass

    def subscribe(self) -> None:
        pass

    def unsubscribe(self) -> None:
        pass


class Site:
    """`serializer`: the one that stock producers and workers use."""

    def __init__(self, server: ValkeyServer, folder: Path, serializer: str = "json") -> None:
        self.server = server
        self.client: redis.Redis = server.client
        self.url = server.url
        self.folder = folder
        self.serializer = SERIALIZERS[serializer]
        self.serializer_name = serializer
        self.gate = folder / "gate"
        self.queue = self.stock_queue()

    def stock_queue(self, name: str = "default", serializer: str = "") -> rq.Queue:
        chosen = SERIALIZERS[serializer] if serializer else self.serializer
        return rq.Queue(name, connection=self.client, serializer=chosen)

    def settings(self, **variables: str) -> Settings:
        """Quick ones, and what `rq_jobs` has may run."""
        return settings_for(self.url, self.folder, **(self.variables() | variables))

    def variables(self) -> dict[str, str]:
        return {
            "JOBQUEUE_WORKER_ALLOWED_FUNCTIONS": "rq_jobs.*",
            "JOBQUEUE_QUEUE_LEASE_SECONDS": "2",
            "JOBQUEUE_SERVER_TICK_SECONDS": "0.1",
            "JOBQUEUE_WORKER_TICK_SECONDS": "0.1",
            "JOBQUEUE_WORKER_SHUTDOWN_GRACE_SECONDS": "5",
        }

    # RQ's side

    def job(self, job_id: str) -> Job:
        return Job.fetch(job_id, connection=self.client, serializer=self.serializer)

    def status(self, job_id: str) -> str:
        return (self.client.hget(f"rq:job:{job_id}", "status") or b"gone").decode()

    def cli(self, command: str, *arguments: str) -> str:
        """RQ's command line, in this process."""
        result = CliRunner().invoke(rq_main, [command, *arguments, "--url", self.url])
        assert result.exception is None, result.output
        return str(result.output)

    def info(self) -> list[str]:
        return self.cli("info", "--raw").splitlines()

    def work(self, *queues: rq.Queue, **options: Any) -> None:
        """A stock worker takes all that there is."""
        worker = StockWorker(list(queues) or [self.queue], connection=self.client, serializer=self.serializer)
        worker.work(burst=True, logging_level="CRITICAL", **options)

    def scores(self, key: str) -> dict[str, float]:
        return {member.decode(): score for member, score in self.client.zrange(key, 0, -1, withscores=True)}

    def listed(self, queue: str = "default") -> list[str]:
        return [job_id.decode() for job_id in self.client.lrange(f"rq:queue:{queue}", 0, -1)]

    def open_gate(self) -> None:
        self.gate.touch()

    # Our side

    @asynccontextmanager
    async def ours(self, name: str = "ours", **variables: str) -> AsyncIterator[JobQueue]:
        """A worker of ours in the test's loop."""
        settings = self.settings(**variables)
        queue = await JobQueue.open(settings, name=name)
        worker = Worker(queue, settings)
        task = asyncio.create_task(worker.run(), name=f"worker-{name}")
        try:
            yield queue
        finally:
            if not task.done():
                worker.stop()
            try:
                await asyncio.wait_for(task, 20)
            finally:
                await queue.close()

    async def run_ours(self, *ids: str, **variables: str) -> None:
        """Until none of these can go on at once."""
        async with self.ours(**variables):
            await until(lambda: not {self.status(job_id) for job_id in ids} & OPEN, "our worker ran the jobs")

    @asynccontextmanager
    async def opened(self, name: str = "test", **variables: str) -> AsyncIterator[JobQueue]:
        """Our library without a worker."""
        queue = await JobQueue.open(self.settings(**variables), name=name)
        try:
            yield queue
        finally:
            await queue.close()

    async def settled(self, seconds: float = 2) -> None:
        """After the periodic work all indexes agree; how long records are kept is the affair of the cleanup."""
        async with self.opened() as queue:
            hands = Hands(queue, self.client)
            deadline = time.monotonic() + seconds
            while True:
                await hands.tick()
                broken = [problem for problem in fsck(self.client) if not problem.endswith("would stay for ever")]
                if not broken:
                    return
                assert time.monotonic() < deadline, broken
                await asyncio.sleep(0.05)


async def until(condition: Callable[[], Any], what: str, seconds: float = 10) -> Any:
    """The first true answer."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"did not happen in {seconds} s: {what}"
        await asyncio.sleep(0.01)


class Processes:
    """Workers as they are started by hand; ended by their pids."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[bytes]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("JOBQUEUE_")}
        path = os.pathsep.join([str(ROOT), str(Path(__file__).parent), kept.get("PYTHONPATH", "")])
        with (self.site.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                env={**kept, "PYTHONPATH": path.rstrip(os.pathsep), **variables},
                cwd=self.site.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def ours(self, **variables: str) -> subprocess.Popen[bytes]:
        given = {"JOBQUEUE_REDIS_URL": self.site.url, **self.site.variables(), **variables}
        return self.start("worker", **given)

    def stock(self, *arguments: str) -> subprocess.Popen[bytes]:
        """`rq worker ...`"""
        name = self.site.serializer_name
        return self.start("rq.cli", "worker", "--url", self.site.url, "--serializer", name, *arguments)

    def stop(self) -> None:
        for process in self.started:
            if process.poll() is None:
                # A stock worker's horse is in a group of its own.
                for child in psutil.Process(process.pid).children(recursive=True):
                    with contextlib.suppress(psutil.NoSuchProcess):
                        child.kill()
                process.kill()
            process.wait(10)

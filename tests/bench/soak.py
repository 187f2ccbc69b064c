"""Hours in minutes: two servers, two workers and an embedded Valkey under mixed load; what grows, leaks or gets lost?

    python tests/bench/soak.py [--minutes 10] [--watchers 200]

Retention is a few seconds and the cleanup runs every five, so that each job goes its whole way many times over. Exits
with 1 when a bound is broken. A run under five minutes is too short to judge the slope of memory and does not.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import redis
from programs import HERE, ROOT, Program, ours

sys.path[:0] = [str(ROOT)]

from soak_load import Book, Load  # noqa: E402
from soak_samples import Sampler  # noqa: E402

from jobqueue import JobQueue, load_settings  # noqa: E402
from jobqueue.fsck import fsck  # noqa: E402

CONFIG = """
[limits]
total = 20
per_user = 5
[retention]
completed_seconds = 4
failed_seconds = 4
cancelled_seconds = 4
interval_seconds = 5.0
[worker]
concurrency = 10
[job_types.soak]
function = "soak_jobs:run"
parameters = "soak_jobs:Parameters"
mode = "async"
cancel_grace_seconds = 2.0
"""
SUBMITTERS = 12
SAMPLE_SECONDS = 5.0
SHORTEST_TO_JUDGE = 5.0
MOST_MB_A_MINUTE = 1.0
MOST_MORE_DESCRIPTORS = 8
# Names of users and the like, which stay.
MOST_MORE_KEYS = 20
END_SECONDS = 90.0


class Soak:
    def __init__(self, folder: Path, minutes: float, watchers: int) -> None:
        self._folder = folder
        self._minutes = minutes
        self._watchers = watchers
        self._book = Book()
        self._broken: list[str] = []

    async def run(self) -> list[str]:
        """The bounds that were broken."""
        (self._folder / "config.toml").write_text(CONFIG)
        environment = {"PYTHONPATH": f"{ROOT}:{HERE}"}
        with ExitStack() as stack:
            programs = {
                f"{module} {number}": stack.enter_context(ours(module, self._folder, **environment))
                for module in ("server", "worker")
                for number in (1, 2)
            }
            sys.path.append(str(HERE))
            queue = await JobQueue.open(load_settings(self._folder / "config.toml", {}), name="soak")
            try:
                await self._soak(queue, programs)
            finally:
                await queue.close()
        return self._broken

    async def _soak(self, queue: JobQueue, programs: dict[str, Program]) -> None:
        queue.events.on_change(self._book.hear)
        await queue.events.start()
        await queue.events.wait_subscribed()
        client = redis.Redis.from_url(queue.url)
        pids = {name: program.process.pid for name, program in programs.items()}
        pids["valkey"] = int(client.info("server")["process_id"])
        sampler = Sampler(pids, client)
        # Their threads, connections and presence are there after this.
        await asyncio.sleep(SAMPLE_SECONDS)
        sampler.sample()
        await self._load(programs, sampler)
        await self._drain(sampler)
        self._judge(sampler, client)
        client.close()

    async def _load(self, programs: dict[str, Program], sampler: Sampler) -> None:
        urls = [f"http://{program.address}" for name, program in programs.items() if name.startswith("server")]
        load = Load(urls, str(self._folder / "trace"), self._book)
        await load.start(submitters=SUBMITTERS, watchers=self._watchers)
        end = time.monotonic() + self._minutes * 60
        while time.monotonic() < end:
            await asyncio.sleep(min(SAMPLE_SECONDS, max(0.0, end - time.monotonic())))
            sampler.sample()
        sampler.end_of_load()
        await load.stop_submitting()
        await self._until(lambda: not self._book.unfinished(), "every accepted job has ended")
        await load.close()
        print("\n" + ", ".join(f"{kind}: {count}" for kind, count in sorted(load.answers.items())))
        bad = {kind: n for kind, n in load.answers.items() if not kind.endswith(("200", "202", "204", "404", "409"))}
        self._check(not bad, f"unexpected answers: {bad}")

    async def _drain(self, sampler: Sampler) -> None:
        await self._until(lambda: sampler.keys_now() <= sampler.base.keys + MOST_MORE_KEYS, "the keys are back to base")
        jobs = self._folder / "data" / "jobs"
        await self._until(lambda: not any(jobs.glob("[!.]*")), "the jobs' folders are gone")
        await self._until(sampler.descriptors_are_back(MOST_MORE_DESCRIPTORS), "file descriptors are back to base")
        sampler.sample()

    def _judge(self, sampler: Sampler, client: redis.Redis) -> None:
        print("\n" + sampler.table())
        for name, slope in sampler.slopes().items():
            if self._minutes >= SHORTEST_TO_JUDGE:
                self._check(slope <= MOST_MB_A_MINUTE, f"{name} grows by {slope:.2f} MB a minute")
        violations = fsck(client)
        self._check(not violations, f"fsck: {violations[:5]}")
        if sampler.keys_now() > sampler.base.keys + MOST_MORE_KEYS:
            left = Counter(key.decode().rpartition(":")[0][:40] for key in client.scan_iter())
            print(f"Keys left: {left.most_common(8)}")
        self._judge_jobs()

    def _judge_jobs(self) -> None:
        lines = (self._folder / "trace").read_text().split("\n")
        starts = Counter(line[6:] for line in lines if line.startswith("start "))
        jobs = self._book.jobs
        # Nobody kills a worker here, so each run begins once.
        twice = [job_id for job_id, entry in jobs.items() if starts[job_id] > entry.wanted]
        lost, often = self._book.unfinished(), self._book.too_often()
        ends = Counter(state for entry in jobs.values() for state in entry.ends)
        print(f"Jobs accepted: {len(jobs)}; ends: {dict(ends)}; runs begun: {starts.total()}")
        self._check(bool(jobs), "no job was accepted")
        self._check(not lost, f"jobs without an end: {len(lost)} {lost[:3]}")
        self._check(not often, f"jobs that ended too often: {len(often)} {often[:3]}")
        self._check(not twice, f"jobs that ran too often: {len(twice)} {twice[:3]}")

    async def _until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + END_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                self._check(False, f"did not happen in {END_SECONDS:.0f} s: {what}")
                return
            await asyncio.sleep(0.5)

    def _check(self, good: bool, words: str) -> None:
        if not good:
            self._broken.append(words)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--watchers", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    random.seed(arguments.seed)
    print(f"Soak of {arguments.minutes} minutes, seed {arguments.seed}")
    with tempfile.TemporaryDirectory(prefix="jq-soak-") as folder:
        broken = asyncio.run(Soak(Path(folder), arguments.minutes, arguments.watchers).run())
    for words in broken:
        print(f"BROKEN: {words}")
    print("All bounds hold." if not broken else f"{len(broken)} bounds are broken.")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())

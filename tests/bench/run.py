"""`make bench`: our benchmark rows, as ratios within one run.

Without further settings: what a call costs with 1,000 and with 1,000,000 waiting jobs of one user (--small: 100,000).
With BENCH_HARNESS=<folder of the shared benchmark> also our row beside its peers: BENCH_SYSTEMS
(jobqueue,saq,bullmq-node), BENCH_REPS (3), BENCH_SECS (5), BENCH_VENVS (where the peers' environments are made).
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from conftest import ValkeyServer, settings_for  # noqa: E402

from jobqueue import Completed, Ended, JobQueue, Lane, NewJob  # noqa: E402

ROUNDS = 60
BATCH = 100
ADMITTED = 1000


def server_microseconds(valkey: ValkeyServer) -> float:
    """CPU time that the server has used."""
    usage = valkey.client.info("cpu")
    return float(usage["used_cpu_user"] + usage["used_cpu_sys"]) * 1e6


def new_jobs(count: int, user: str = "ann") -> list[NewJob]:
    return [NewJob(job_id=str(uuid.uuid4()), function="jobs.noop", args=[n], user_id=user) for n in range(count)]


class Case:
    """A namespace of its own with so many jobs of one user waiting behind the admitted ones."""

    def __init__(self, valkey: ValkeyServer, prefix: str) -> None:
        self._valkey = valkey
        self._prefix = prefix
        self.costs: dict[str, list[float]] = {"enqueue": [], "claim": [], "finish": [], "finish+claim": []}

    async def open(self, waiting: int) -> None:
        settings = settings_for(
            self._valkey.url,
            Path(tempfile.mkdtemp()),
            JOBQUEUE_REDIS_CALL_TIMEOUT_SECONDS="30",
            JOBQUEUE_REDIS_KEY_PREFIX=self._prefix,
            JOBQUEUE_LIMITS_TOTAL=str(ADMITTED),
            JOBQUEUE_LIMITS_PER_USER=str(ADMITTED),
        )
        self._queue = await JobQueue.open(settings, name="bench")
        await self._queue.register_worker()
        for _ in range((ADMITTED + waiting) // 1000):
            await self._queue.producer.enqueue_many(new_jobs(1000))
        self._lane = Lane(self._queue.namespace, "bench", 0, ("default",), 600_000_000)

    async def _measure(self, name: str, work: Awaitable[Any]) -> Any:
        before = server_microseconds(self._valkey)
        result = await work
        self.costs[name].append((server_microseconds(self._valkey) - before) / BATCH)
        return result

    async def round(self) -> None:
        await self._measure("enqueue", self._queue.producer.enqueue_many(new_jobs(BATCH)))
        batch = await self._measure("claim", self._lane.advance([], BATCH))
        ended = [Ended(job, Completed(1)) for job in batch.jobs]
        batch = await self._measure("finish+claim", self._lane.advance(ended, BATCH))
        ended = [Ended(job, Completed(1)) for job in batch.jobs]
        await self._measure("finish", self._lane.advance(ended, 0))
        await self._queue.producer.enqueue_many(new_jobs(BATCH))

    async def close(self) -> None:
        await self._queue.close()


async def depth(large: int) -> None:
    """Both depths on one server, in turns, so that neither has a warmer machine than the other."""
    valkey = ValkeyServer(Path(tempfile.mkdtemp(prefix="jq-bench-")))
    try:
        small, big = Case(valkey, "small"), Case(valkey, "big")
        await big.open(large)
        await small.open(1000)
        for _ in range(ROUNDS):
            await small.round()
            await big.round()
        await small.close()
        await big.close()
    finally:
        valkey.stop()
    print(f"\nServer microseconds a job, batches of {BATCH}, one user, medians of {ROUNDS}\n")
    print(f"| | 1,000 waiting | {large:,} waiting | ratio |\n|---|--:|--:|--:|")
    for name, costs in big.costs.items():
        base, cost = statistics.median(small.costs[name]), statistics.median(costs)
        print(f"| {name} | {base:.1f} | {cost:.1f} | {cost / base:.2f} |")


def beside_peers(harness: Path) -> None:
    venvs = Path(os.environ.get("BENCH_VENVS", ROOT / "bench-out" / "venvs")).absolute()
    if not (venvs / "bullmqnode").exists():
        subprocess.run(["bash", str(harness / "setup_venvs.sh"), str(venvs)], check=True)
    ours = venvs / "jobqueue"
    if not ours.exists():
        ours.symlink_to(Path(sys.prefix))
    out = ROOT / "bench-out" / f"peers-{time.strftime('%H%M%S')}.json"
    out.parent.mkdir(exist_ok=True)
    command = [
        "python3", "harness.py", "--what", os.environ.get("BENCH_WHAT", "enq,proc1,proc2,lat"),
        "--systems", os.environ.get("BENCH_SYSTEMS", "jobqueue,saq,bullmq-node"),
        "--reps", os.environ.get("BENCH_REPS", "3"), "--secs", os.environ.get("BENCH_SECS", "5"), "--out", str(out),
    ]  # fmt: skip
    environment = {**os.environ, "BENCH_VENVS": str(venvs), "BENCH_ADAPTERS": str(Path(__file__).parent)}
    subprocess.run(command, check=True, cwd=harness, env=environment)
    print(table(json.loads(out.read_text())["rows"]))


COLUMNS = {
    "enq_one": "enqueue 1 by 1", "enq_bulk": "bulk", "proc1": "noop, 1 worker", "proc2": "2 workers",
}  # fmt: skip


def table(rows: list[dict[str, object]]) -> str:
    found: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        if "error" in row:
            print(f"{row['system']} {row['what']}: {str(row['error'])[-300:]}")
            continue
        system = found.setdefault(str(row["system"]), {})
        if row["what"] == "lat":
            system.setdefault("start p50", []).append(row["start"]["p50"])  # type: ignore[index]
            system.setdefault("result p50", []).append(row["result"]["p50"])  # type: ignore[index]
        else:
            system.setdefault(COLUMNS[str(row["what"])], []).append(float(row["rate"]))  # type: ignore[arg-type]
    names = [*COLUMNS.values(), "start p50", "result p50"]
    lines = ["", f"| system | {' | '.join(names)} |", "|---|" + "--:|" * len(names)]
    for system, values in found.items():
        cells = [f"{statistics.median(values[name]):,.2f}" if name in values else "-" for name in names]
        lines.append(f"| {system} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    if "--peers-only" not in sys.argv:
        asyncio.run(depth(100_000 if "--small" in sys.argv else 1_000_000))
    harness = os.environ.get("BENCH_HARNESS")
    if harness:
        beside_peers(Path(harness).absolute())


if __name__ == "__main__":
    main()

"""A long chain of jobs while everything dies in turns, and schedules with several servers at their ticks: nothing is
lost, nothing comes before its time or twice.
"""

from __future__ import annotations

import os
import random
import signal
import time
import uuid
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest
from lifecycle_support import LifecycleSystem, unix
from support import wait_for

from jobqueue.keys import Keys

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

KEYS = Keys("rq")
MICRO = 1_000_000
LENGTH = 100
SECONDS = 0.08
ROLES = ("server", "worker", "valkey")
KILLS = 9
CRONS = 20
ROUNDS = 8


@pytest.fixture
def system(tmp_path: Path) -> Iterator[LifecycleSystem]:
    ticks = {f"JOBQUEUE_{role}_TICK_SECONDS": "0.05" for role in ("SERVER", "WORKER")}
    made = LifecycleSystem(tmp_path, **ticks)
    try:
        yield made
    finally:
        made.stop()


def submit_chain(system: LifecycleSystem) -> list[str]:
    """Each depends on the one before."""
    chain = [str(uuid.uuid4()) for _ in range(LENGTH)]
    jobs: list[dict[str, Any]] = [
        system.body("loop", "ann", {"seconds": SECONDS}, job_id=job_id, depends_on=[before] if before else [])
        for before, job_id in zip(["", *chain], chain, strict=False)
    ]
    code, answer = system.http("POST", "/submit/bulk", {"jobs": jobs})
    assert (code, answer["accepted"], answer["rejected"]) == (202, LENGTH, 0), answer
    return chain


class Killer:
    """Kills with -9 and starts again what does not come back by itself."""

    def __init__(self, system: LifecycleSystem) -> None:
        self._system = system
        self._alive: dict[str, Popen[str]] = {"server": system.server(), "worker": system.worker()}

    def kill(self, role: str) -> None:
        if role == "valkey":
            pid = wait_for(self._system.valkey().pid, "the embedded Valkey is there")
            os.kill(pid, signal.SIGKILL)
            return
        self._system.kill(self._alive[role])
        start = self._system.server if role == "server" else self._system.worker
        self._alive[role] = start()


def kills(seed: int) -> list[tuple[str, int, float]]:
    """Who dies in turns, after how many further jobs of the chain, and how many seconds later."""
    dice = random.Random(seed)
    roles = [role for _ in range(KILLS // len(ROLES)) for role in dice.sample(ROLES, len(ROLES))]
    return [(role, dice.randint(2, 6), dice.uniform(0, 0.15)) for role in roles]


@pytest.mark.parametrize("seed", [1, 2])
def test_a_chain_survives_whoever_dies(system: LifecycleSystem, seed: int) -> None:
    killer = Killer(system)
    chain = submit_chain(system)
    for role, jobs, delay in kills(seed):
        # Counted from here: the chain went on while the one before was started again.
        moment = len(ended(system)) + jobs
        wait_for(lambda n=moment: len(ended(system)) >= n, f"{moment} jobs have ended", 40)
        # The moment itself is what is random.
        time.sleep(delay)
        assert len(ended(system)) < LENGTH, "the chain still runs"
        killer.kill(role)
    system.wait_status(chain[-1], "completed", 60)
    interrupted = [assert_ended_once(system, job_id) for job_id in chain]
    assert_in_order(system, chain)
    assert sum(interrupted) <= KILLS // len(ROLES), "a killed worker costs one run of its one job"
    system.assert_sound()


def ended(system: LifecycleSystem) -> set[str]:
    return {trace.job_id for trace in system.traces("end")}


def assert_ended_once(system: LifecycleSystem, job_id: str) -> int:
    """How often it was interrupted. Its end is the one that was recorded: a worker may die between a job's last line
    and the record, then the job runs again.
    """
    job = system.status(job_id)
    assert (job["status"], job["error"]) == ("completed", None), job
    starts, ends = system.traces("start", job_id), system.traces("end", job_id)
    assert [start.attempt for start in starts] == list(range(1, job["attempt"] + 1)), starts
    recorded = system.http("GET", f"/result/{job_id}")[1]["result"]
    assert ends and ends[-1].attempt == job["attempt"] == recorded["attempt"]
    assert len({end.attempt for end in ends}) == len(ends)
    outcomes = [attempt["outcome"] for attempt in job["attempts"]]
    assert outcomes == ["lost"] * (len(starts) - 1) + ["completed"]
    return len(starts) - 1


def assert_in_order(system: LifecycleSystem, chain: list[str]) -> None:
    for before, after in pairwise(chain):
        last, first = system.traces("end", before)[-1], system.traces("start", after)[0]
        assert last.at <= first.at, "it began before what it depends on had ended"


@pytest.mark.parametrize("servers", [2, 3])
def test_each_tick_makes_one_job_however_many_servers_look(system: LifecycleSystem, servers: int) -> None:
    for _ in range(servers):
        system.port = 0
        system.server()
    system.worker()
    interval = system.add_schedule("beat", interval_seconds=1)
    crons = [system.add_schedule("cron", cron="* * * * *", missed="once") for _ in range(CRONS)]
    expected = force_due(system, crons)
    made = [job["job_id"] for job in system.jobs_of("cron")]
    assert len(made) == len(set(made)) and set(made) >= expected
    assert sum(system.schedule(cron)["runs"] for cron in crons) == len(made)
    wait_for(lambda: system.schedule(interval)["runs"] >= 5, "the interval has come five times", 20)
    assert_one_a_second(system, interval)
    assert system.http("DELETE", f"/schedules/{interval}")[0] == 200
    for job in system.jobs_of("cron") + system.jobs_of("beat"):
        system.assert_ran_once(job["job_id"])
    system.assert_sound()


def force_due(system: LifecycleSystem, crons: list[str]) -> set[str]:
    """All at once, again and again, each time with a tick of its own; the ids of the jobs that they must make."""
    client = system.redis()
    expected = set()
    last_minute = int(client.time()[0]) // 60 * 60  # type: ignore[index]
    for number in range(ROUNDS):
        tick = (last_minute - number * 60) * MICRO
        client.zadd(KEYS.ticks, dict.fromkeys(crons, tick), xx=True)
        expected |= {str(uuid.uuid5(uuid.UUID(cron), f"tick {tick}")) for cron in crons}
        wait_for(lambda t=tick: client.zcount(KEYS.ticks, t, t) == 0, "all have had their tick")
    client.close()
    return expected


def assert_one_a_second(system: LifecycleSystem, interval: str) -> None:
    """No more jobs at any moment than ticks until then, and hardly a tick was left out.

    A tick that is noticed late and the one after it may make their jobs in the same second.
    """
    client = system.redis()
    following = float(client.zscore(KEYS.ticks, interval)) / MICRO  # type: ignore[arg-type]
    client.close()
    schedule = system.schedule(interval)
    began, last = unix(schedule["created_at"]), unix(schedule["last_run_at"])
    first = began + ((following - began) % 1 or 1)
    made = sorted(at for job in system.jobs_of("beat") if (at := unix(job["created_at"])) <= last)
    assert len(made) == schedule["runs"]
    early = [(number, at - first) for number, at in enumerate(made) if at < first + number - 0.001]
    assert not early, f"jobs before their ticks: {early}"
    # A server that was held up for more than a second finds one tick for all that it missed.
    assert schedule["runs"] >= (last - first) / 2

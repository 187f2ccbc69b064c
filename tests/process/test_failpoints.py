"""Every script call, before and after: the process that makes it is killed there, another takes its place, and all jobs
end as if nothing had been, with nothing left over."""

from __future__ import annotations

import ast
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support import ROOT, System, running, wait_for

from jobqueue import scripts
from jobqueue.fsck import fsck
from jobqueue.maintenance import CHORES

pytestmark = [pytest.mark.process, pytest.mark.timeout(150)]

# Which process makes the call in a life like the one below.
POINTS = (
    ("server", "audit"),
    ("server", "beat_server"),
    ("server", "begin_cleanup"),
    ("server", "cancel"),
    ("server", "check_write"),
    ("server", "clean_index"),
    ("server", "controls"),
    ("server", "create_schedule"),
    ("server", "drain"),
    ("server", "drop_leftovers"),
    ("server", "due_schedules"),
    ("server", "end_cleanup"),
    ("server", "enqueue"),
    ("server", "expire"),
    ("server", "mend_types"),
    ("server", "page"),
    ("server", "page_schedules"),
    ("server", "pause"),
    ("server", "pause_schedule"),
    ("server", "ping_events"),
    ("server", "plan_schedules"),
    ("server", "promote_due"),
    ("server", "release"),
    ("server", "remove"),
    ("server", "remove_schedule"),
    ("server", "remove_server"),
    ("server", "remove_worker"),
    ("server", "rescue"),
    ("server", "restart"),
    ("server", "resume"),
    ("server", "resume_schedule"),
    ("server", "set_limits"),
    ("server", "sort_lines"),
    ("server", "stats"),
    ("server", "sweep"),
    ("server", "waiting"),
    ("worker", "advance"),
    ("worker", "claim"),
    ("worker", "due_schedules"),
    ("worker", "expire"),
    ("worker", "extend"),
    ("worker", "finish"),
    ("worker", "plan_schedules"),
    ("worker", "progress"),
    ("worker", "promote_due"),
    ("worker", "release"),
    ("worker", "register_worker"),
    ("worker", "remove_worker"),
    ("worker", "rescue"),
    ("worker", "set_limits"),
    ("worker", "sort_lines"),
    ("worker", "sweep"),
)
# Only a process that ends cleanly makes these calls,
AT_THE_END = {("server", "remove_server"), ("worker", "remove_worker")}
# and this one only a worker that gives up on a job that cannot be stopped.
WITH_A_STUBBORN_JOB = {("worker", "finish")}

# Server and worker both do these duties: whoever is not to be killed leaves most of them to the other, and there is
# work for them so often.
DUTIES = {*CHORES, "due_schedules", "plan_schedules"}
SELDOM = {"JOBQUEUE_WORKER_TICK_SECONDS": "1", "JOBQUEUE_SERVER_TICK_SECONDS": "1"}
OFTEN = 5

CONFIG = """
[retention]
interval_seconds = 0.5
"""


def called_scripts() -> set[str]:
    """The names in all calls of `run` and `_run` in the library."""
    names = set()
    for path in (ROOT / "jobqueue").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("run", "_run")
            ):
                names |= {part.value for part in ast.walk(node.args[0]) if isinstance(part, ast.Constant)}
    return {name for name in names if isinstance(name, str)}


def test_every_script_call_has_its_points() -> None:
    assert called_scripts() | set(CHORES) == set(scripts.names())
    assert {script for _, script in POINTS} == set(scripts.names())
    senders = {
        path.name: path.read_text() for path in (ROOT / "jobqueue").rglob("*.py") if "EVALSHA" in path.read_text()
    }
    assert senders.keys() == {"leases.py", "namespace.py"}
    for text in senders.values():
        assert 'failpoints.hit(name, "before")' in text and 'failpoints.hit(name, "after")' in text


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    for system in running(tmp_path):
        with (tmp_path / "config.toml").open("a") as file:
            file.write(CONFIG)
        config = tmp_path / "config.toml"
        config.write_text(config.read_text().replace("[server]\n", "[server]\nworker_check_seconds = 0.5\n"))
        system.port = free_port()
        yield system


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def start(
    system: System, role: str, point: str | None, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    options = ["--port", str(system.port)] if role == "server" else []
    failpoint = {"FAILPOINTS": f"{point}:kill"} if point else {}
    return system._start(role, options, {**failpoint, **(environment or {})})


class Life:
    """What users do, each asking again until somebody answers. `wanted`: how each job must end."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.wanted: dict[str, str] = {}

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        def answer() -> tuple[int, dict[str, Any]] | None:
            try:
                code, found = self.system.http(method, path, body)
            except (OSError, ValueError):
                return None
            return (code, found) if code < 500 else None

        found: tuple[int, dict[str, Any]] = wait_for(answer, f"{method} {path} is answered", 40)
        return found

    def submit(self, wanted: str, *, seconds: float = 0.3, stubborn: bool = False, **options: Any) -> str:
        job_id = str(uuid.uuid4())
        parameters = {"trace": str(self.system.trace_file), "seconds": seconds, "stubborn": stubborn}
        body = {"job_type": "loop", "job_id": job_id, "user_id": "ann", "parameters": parameters, **options}
        code, answer = self.ask("POST", "/submit", body)
        assert code == 202, answer
        self.wanted[job_id] = wanted
        return job_id

    def live(self) -> None:
        """One of each: jobs that run, wait, are due later, are cancelled, and come back."""
        due = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 1))
        self.submit("completed", scheduled_time=due)
        self.submit("completed")
        self.submit("completed", seconds=1)
        cancelled, restarted = self.submit("cancelled", seconds=60), self.submit("completed", seconds=60)
        for job_id in (cancelled, restarted):
            assert self.ask("POST", f"/cancel/{job_id}")[0] == 200
        parameters = {"trace": str(self.system.trace_file)}
        # A second time, when the answer to the first was lost, it is pending already.
        assert self.ask("POST", f"/restart/{restarted}", {"parameters": parameters})[0] in (200, 409)
        for path in ("", "/queue/stats", "/health/ready"):
            self.ask("GET", path)

    def cancel_a_stubborn_job(self) -> None:
        job_id = self.submit("cancelled", seconds=60, stubborn=True)
        wait_for(lambda: self.system.traces("start", job_id), "the stubborn job runs")
        assert self.ask("POST", f"/cancel/{job_id}")[0] == 200

    def change_controls(self) -> None:
        assert self.ask("PATCH", "/limits", {"users": {"zoe": 2}})[0] == 200
        assert self.ask("GET", "/limits")[0] == 200
        for verb in ("pause", "resume"):
            assert self.ask("POST", f"/{verb}", {"user_id": "zoe"})[0] == 200
        client = self.system.redis()
        client.hset("rq:x:worker:elsewhere", "concurrency", 1)
        client.close()
        assert self.ask("POST", "/workers/elsewhere/drain")[0] == 202

    def overwrite_a_key(self) -> None:
        assert self.ask("GET", "/limits")[0] == 200
        client = self.system.redis()
        client.set("rq:x:parked:zoe", "nonsense")
        client.hset("rq:x:meta", "strange", 1)
        wait_for(lambda: not client.exists("rq:x:parked:zoe"), "the key is put aside", 30)
        client.delete("rq:x:aside:rq:x:parked:zoe")
        client.close()

    def delete_one(self) -> None:
        job_id = self.submit("deleted", seconds=0)
        assert self.ask("POST", f"/cancel/{job_id}")[0] in (200, 409)
        wait_for(lambda: self.ask("DELETE", f"/status/{job_id}")[0] in (200, 404), f"{job_id} is deleted")

    def have_schedules(self) -> None:
        """One that is changed, and one with ticks: each makes a job by itself, or is too late and makes none."""
        kept = [str(uuid.uuid4()) for _ in range(2)]
        parameters = {"trace": str(self.system.trace_file), "seconds": 0.05}
        body = {"job_type": "loop", "parameters": parameters, "interval_seconds": 1000}
        for schedule_id in kept:
            code, answer = self.ask("POST", "/schedules", {**body, "schedule_id": schedule_id})
            assert code == 201, answer
        client = self.system.redis()
        client.zadd("rq:x:ticks", {kept[0]: int((time.time() - 5) * 1e6)})
        self.ask("GET", "/schedules")
        wait_for(lambda: self.ask("GET", f"/schedules/{kept[0]}")[1]["runs"] == 1, "the tick was fired, once")
        for n in range(OFTEN):
            late = int((time.time() - 500) * 1e6) + n
            client.zadd("rq:x:ticks", {kept[1]: late})
            wait_for(lambda late=late: client.zscore("rq:x:ticks", kept[1]) != late, "the late tick is planned", 30)
        client.close()
        assert "skipped" in self.ask("GET", f"/schedules/{kept[1]}")[1]["error"]
        for schedule_id in kept:
            for change in ("/pause", "/resume"):
                assert self.ask("POST", f"/schedules/{schedule_id}{change}")[0] == 200
            assert self.ask("DELETE", f"/schedules/{schedule_id}")[0] in (200, 404)

    def keep_jobs_waiting(self) -> None:
        """Past their deadline, behind a job that is cancelled, in a line that is to be sorted."""
        assert self.ask("POST", "/pause", {"user_id": "late"})[0] == 200
        self.submit("cancelled", user_id="late", expires_in=1)
        parent = self.submit("cancelled", delay_seconds=3600)
        for _ in range(120):
            self.submit("cancelled", depends_on=[parent])
        assert self.ask("POST", f"/cancel/{parent}")[0] == 200
        wait_for(lambda: self.has_ended_well("cancelled"), "what waited in vain is cancelled", 40)
        client, work = self.system.redis(), ("rq:x:unsorted", "rq:x:releases", "rq:x:deadlines")
        for _ in range(OFTEN):
            # Work that has been done, once more: nothing comes of it.
            client.hset("rq:x:unsorted", "user:ann", "-inf")
            client.zadd("rq:x:releases", {parent: 1})
            client.zadd("rq:x:deadlines", {parent: 1})
            wait_for(lambda: not client.exists(*work), "the chores are done", 30)
        client.close()
        assert self.ask("POST", "/resume", {"user_id": "late"})[0] == 200

    def assert_runs(self, *, most: int) -> None:
        """Whoever is killed costs at most one more run of what it held."""
        for job_id, end in self.wanted.items():
            assert len(self.system.traces("end", job_id)) in range(end == "completed", most + 1), job_id

    def has_ended_well(self, only: str = "") -> bool:
        """`only`: those that are to end so."""
        wanted = {job_id: end for job_id, end in self.wanted.items() if end == only or not only}
        return all(
            self.ask("GET", f"/status/{job_id}")[1].get("status", "deleted") == end for job_id, end in wanted.items()
        )


# What is done besides, for the scripts that a life without it never calls.
BESIDES: dict[str, Callable[[Life], None]] = {
    **dict.fromkeys(("controls", "drain", "pause", "resume"), Life.change_controls),
    **dict.fromkeys(CHORES, Life.keep_jobs_waiting),
    "remove": Life.delete_one,
    "mend_types": Life.overwrite_a_key,
    **dict.fromkeys((name for name in scripts.names() if "schedule" in name), Life.have_schedules),
}


def _nothing(_life: Life) -> None:
    pass


@pytest.mark.parametrize(("role", "script"), POINTS, ids=lambda value: value)
def test_killed_at(system: System, role: str, script: str) -> None:
    start(system, "worker" if role == "server" else "server", None, SELDOM if script in DUTIES else None)
    life = Life(system)
    for moment in ("before", "after"):
        victim = start(system, role, f"{script}.{moment}")
        with ThreadPoolExecutor(2) as users:
            lived = [users.submit(life.live), users.submit(BESIDES.get(script, _nothing), life)]
            if (role, script) in AT_THE_END:
                wait_until_it_works(system, role, victim)
                victim.send_signal(signal.SIGTERM)
            if (role, script) in WITH_A_STUBBORN_JOB:
                life.cancel_a_stubborn_job()
            wait_for(lambda v=victim: v.poll() is not None, f"{script}.{moment} is reached", 30)
            assert victim.returncode == -signal.SIGKILL
            follower = start(system, role, None)
            for each in lived:
                each.result(60)
        wait_for(life.has_ended_well, "all jobs end as they should", 40)
        system.kill(follower, signal.SIGTERM)
    assert_nothing_is_left(system)
    life.assert_runs(most=1 if role == "server" else 2)


def wait_until_it_works(system: System, role: str, process: subprocess.Popen[str]) -> None:
    if role == "server":
        assert process.stdout is not None and process.stdout.readline()
    else:
        wait_for(lambda: any(run.pid == process.pid for run in system.traces("start")), "it runs a job")


def assert_nothing_is_left(system: System) -> None:
    client = system.redis()
    wait_for(lambda: fsck(client) == [], "nothing is out of order", 10)
    for key in (b"rq:x:leases", b"rq:x:stopping", b"rq:queue:default", *client.keys("rq:x:live:*")):
        assert not client.exists(key), key
    client.close()

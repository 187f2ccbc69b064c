"""A system of real processes with settings of its own, and the requests about schedules and options of jobs."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from support import System, wait_for

from jobqueue.fsck import fsck

NOTHING: Mapping[str, Any] = MappingProxyType({})

CONFIG = """
[job_types.hold_loop]
function = "lifecycle_jobs:hold"
parameters = "lifecycle_jobs:Held"
mode = "async"
[job_types.hold_child]
function = "lifecycle_jobs:hold"
parameters = "lifecycle_jobs:Held"
mode = "process"
[job_types.flaky]
function = "lifecycle_jobs:fail_first"
parameters = "lifecycle_jobs:Flaky"
mode = "async"
"""


class LifecycleSystem(System):
    """`settings`: further variables for the environment of every process. Held jobs end when `go` is there."""

    def __init__(self, folder: Path, **settings: str) -> None:
        super().__init__(folder, concurrency=8)
        self.settings = settings
        self.go = folder / "go"
        with (folder / "config.toml").open("a") as config:
            config.write(CONFIG)

    def _start(
        self, module: str, options: Sequence[str], variables: Mapping[str, str] = NOTHING
    ) -> subprocess.Popen[str]:
        return super()._start(module, options, {**self.settings, **variables})

    def ask(self, job_type: str, user: str, parameters: Mapping[str, Any] = NOTHING, **options: Any) -> str:
        code, answer = self.http("POST", "/submit", self.body(job_type, user, parameters, **options))
        assert code == 202, answer
        job_id: str = answer["job_id"]
        return job_id

    def body(self, job_type: str, user: str, parameters: Mapping[str, Any] = NOTHING, **options: Any) -> dict[str, Any]:
        given = {"trace": str(self.trace_file), **parameters}
        return {"job_type": job_type, "user_id": user, "parameters": given, **options}

    def hold(self, job_type: str) -> str:
        job_id = self.ask(job_type, "long", {"until": str(self.go)})
        wait_for(lambda: self.traces("start", job_id), "the long job runs")
        return job_id

    def add_schedule(self, user: str, **rule: Any) -> str:
        code, answer = self.http("POST", "/schedules", self.body("loop", user, **rule))
        assert code == 201, answer
        schedule_id: str = answer["schedule_id"]
        return schedule_id

    def schedule(self, schedule_id: str) -> dict[str, Any]:
        code, answer = self.http("GET", f"/schedules/{schedule_id}")
        assert code == 200, answer
        return answer

    def next_run(self, schedule_id: str) -> float:
        return unix(self.schedule(schedule_id)["next_run_at"])

    def jobs_of(self, user: str) -> list[dict[str, Any]]:
        jobs: list[dict[str, Any]] = []
        cursor = ""
        for _ in range(100):
            code, answer = self.http("GET", f"?user={user}&limit=500{cursor}")
            assert code == 200, answer
            jobs += answer["jobs"]
            if answer["next_cursor"] is None:
                return jobs
            cursor = f"&cursor={answer['next_cursor']}"
        raise AssertionError("the list has no end")

    def assert_ran_once(self, job_id: str) -> None:
        done = self.wait_status(job_id, "completed")
        assert (done["attempt"], done["error"]) == (1, None)
        assert len(self.traces("start", job_id)) == len(self.traces("end", job_id)) == 1

    def assert_sound(self) -> None:
        client = self.redis()
        wait_for(lambda: fsck(client) == [], "nothing is out of order", 10)
        client.close()


def unix(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()

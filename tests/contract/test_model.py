"""The model of `queue_machine` with all that keeps jobs waiting: other jobs, limits and pauses of single users and
types, deadlines, unique keys."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from conftest import ValkeyServer
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from queue_machine import USERS, ModelJob, QueueMachine

from jobqueue import NewJob
from jobqueue.errors import DependencyNotFound
from jobqueue.states import TERMINAL

TYPES = ("", "scan", "train")
KEYS = ("red", "blue")


@pytest.fixture(scope="module", autouse=True)
def server(valkey_session: ValkeyServer) -> Iterator[None]:
    QueueMachine.valkey = valkey_session
    yield
    QueueMachine.valkey = None


class LifeMachine(QueueMachine):
    @rule(
        target=QueueMachine.ids,
        user=st.sampled_from(USERS),
        job_type=st.sampled_from(TYPES),
        priority=st.sampled_from(["low", "normal", "urgent"]),
        unique=st.sampled_from([None, *KEYS]),
        expires=st.booleans(),
    )
    def submit_special(self, user: str, job_type: str, priority: str, unique: str | None, expires: bool) -> str:
        job = NewJob(
            job_id=self.new_id(),
            function="a.b",
            user_id=user,
            job_type=job_type,
            priority=priority,  # type: ignore[arg-type]
            unique_key=unique,
            expires_in=1000 if expires else None,
        )
        answer = self.run(self.queue.producer.enqueue(job))
        holder = self._holder(user, unique)
        assert (answer.job_id, answer.created) == ((holder, False) if holder else (job.job_id, True))
        if not holder:
            self.world.jobs[job.job_id] = ModelJob(
                user, 1, special=True, job_type=job_type, unique=unique, expires=expires
            )
        return answer.job_id

    def _holder(self, user: str, unique: str | None) -> str | None:
        for job_id, job in self.world.jobs.items():
            if unique and (job.user, job.unique) == (user, unique) and job.state not in (*TERMINAL, "gone"):
                return job_id
        return None

    @precondition(lambda self: self._where("pending", "running", "failed", "completed", "cancelled"))
    @rule(target=QueueMachine.ids, data=st.data(), anyway=st.booleans(), later=st.booleans())
    def submit_dependent(self, data: st.DataObject, anyway: bool, later: bool) -> str:
        parents = data.draw(st.lists(st.sampled_from(list(self.world.jobs)), min_size=1, max_size=3, unique=True))
        user = self.world.jobs[parents[0]].user
        job_id, due = self.new_id(), 10**17 if later else None
        policy = "run" if anyway else "cancel"
        job = NewJob(job_id=job_id, function="a.b", user_id=user, depends_on=parents, on_failure=policy, due=due)  # type: ignore[arg-type]
        states = [self.world.jobs[parent].state for parent in parents]
        if "gone" in states or any(self.world.jobs[parent].user != user for parent in parents):
            with pytest.raises(DependencyNotFound):
                self.run(self.queue.producer.enqueue(job))
            return "nobody"
        answer = self.run(self.queue.producer.enqueue(job))
        model = ModelJob(user, 1, due, special=True, parents=tuple(parents), anyway=anyway)
        if {"failed", "cancelled"} & set(states) and not anyway:
            model.state = "cancelled"
        else:
            model.deferred = any(state not in TERMINAL for state in states)
            model.state = "pending" if model.deferred or not later else "scheduled"
        assert answer.state == model.state
        self.world.jobs[job_id] = model
        return job_id

    @rule()
    def deadlines_pass(self) -> None:
        client = self.server.client
        for job_id in client.zrange("rq:x:deadlines", 0, -1):
            client.zadd("rq:x:deadlines", {job_id: 1})
        assert self.run(self.queue.namespace.run("expire", {"batch": 500})) == 0
        for job_id, job in self.world.jobs.items():
            if job.expires and job.state in ("pending", "scheduled"):
                self.world.move("expire", job, "cancelled")
                job.expires = job.deferred = job.retrying = False
                self.world.ended(job_id)

    @rule(kind=st.sampled_from(["user", "type", "queue"]), data=st.data())
    def pause(self, kind: str, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(USERS if kind == "user" else TYPES[1:])) if kind != "queue" else ""
        changed = self.run(self.queue.control.pause(kind, name))  # type: ignore[arg-type]
        assert changed == (f"{kind}:{name}" not in self.world.paused)
        self.world.paused.add(f"{kind}:{name}")

    @precondition(lambda self: self.world.paused)
    @rule(data=st.data())
    def resume(self, data: st.DataObject) -> None:
        paused = data.draw(st.sampled_from(sorted(self.world.paused)))
        kind, _, name = paused.partition(":")
        assert self.run(self.queue.control.resume(kind, name))  # type: ignore[arg-type]
        self.world.paused.discard(paused)
        self.sort_lines()

    @rule(
        user=st.sampled_from(USERS), job_type=st.sampled_from(TYPES[1:]), limit=st.one_of(st.none(), st.integers(1, 3))
    )
    def limit_one(self, user: str, job_type: str, limit: int | None) -> None:
        self.run(self.queue.control.set_limits(users={user: limit}, types={job_type: limit}))
        for limits, name in ((self.world.users, user), (self.world.types, job_type)):
            limits.pop(name, None)
            if limit is not None:
                limits[name] = limit
        self.sort_lines()

    @rule()
    def sort_lines(self) -> None:
        for _ in range(100):
            if not self.run(self.queue.namespace.run("sort_lines", {"batch": 2})):
                break
        self.sweep()


TestModel = LifeMachine.TestCase
TestModel.settings = settings(
    max_examples=80, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)

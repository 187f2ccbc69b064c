"""Every script against a plain model of the drawn state table, on a real Valkey, in random order, with calls repeated,
delayed and by those who have lost the right to them; `fsck` after each step. Here the spine of a job's life;
`test_model.py` adds what keeps jobs waiting, and runs it all."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest
from conftest import ValkeyServer, settings_for
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

from jobqueue import Claimed, Completed, Consumer, Ended, Failed, JobQueue, Lane, NewJob, Progress, Released, Stopped
from jobqueue.consumer import decode_claimed
from jobqueue.errors import (
    ClaimSuperseded,
    DependencyEnded,
    DuplicateJob,
    JobNotFound,
    StillStopping,
    UniqueKeyTaken,
    WrongState,
)
from jobqueue.fsck import fsck
from jobqueue.leases import Holding, LeaseRenewer
from jobqueue.states import RESTARTABLE, TERMINAL, TRANSITIONS

USERS = ("ann", "bob", "cat")
LEASE_US = 60_000_000
# What a cleanup must be able to rebuild from the records.
LOSABLE = (
    "rq:x:state:*", "rq:x:user:*", "rq:x:live:*", "rq:x:parked*", "rq:rl*", "rq:wip:*", "rq:failed:*", "rq:finished:*",
    "rq:canceled:*", "rq:scheduled:*", "rq:queue*", "rq:deferred:*", "rq:job:*:dependents", "rq:job::*:dependencies",
    "rq:x:line*", "rq:x:waiters:*", "rq:x:places:*", "rq:x:deadlines", "rq:x:unique",
)  # fmt: skip


@dataclass
class ModelJob:
    user: str
    max_attempts: int
    due: int | None = None
    state: str = "pending"
    attempt: int = 0
    failures: int = 0
    losses: int = 0
    restarts: int = 0
    live: str | None = None  # token of the execution that holds slots
    last: str | None = None  # token of the last execution that may still repeat its answer
    verdict: str = "ok"
    retrying: bool = False
    progress: float = 0.0
    claims: int = 0
    special: bool = False  # submitted with more than user, due time and attempts
    job_type: str = ""
    parents: tuple[str, ...] = ()
    anyway: bool = False
    deferred: bool = False
    unique: str | None = None
    expires: bool = False  # it must start before its deadline


@dataclass
class Held:
    job: Claimed
    expired: bool = False


@dataclass
class World:
    jobs: dict[str, ModelJob] = field(default_factory=dict)
    held: dict[str, Held] = field(default_factory=dict)
    total: int = 4
    per_user: int = 2
    users: dict[str, int] = field(default_factory=dict)
    types: dict[str, int] = field(default_factory=dict)
    paused: set[str] = field(default_factory=set)

    def user_limit(self, user: str) -> int:
        return 0 if f"user:{user}" in self.paused else self.users.get(user, self.per_user)

    def type_is_free(self, job_type: str) -> bool:
        running = sum(1 for job in self.jobs.values() if job.live and job.job_type == job_type)
        return f"type:{job_type}" not in self.paused and running < self.types.get(job_type, 1000)

    def live(self, user: str | None = None) -> int:
        return sum(1 for job in self.jobs.values() if job.live and user in (None, job.user))

    def move(self, operation: str, job: ModelJob, state: str | None) -> None:
        assert (job.state, state) in TRANSITIONS[operation], (operation, job.state, state)
        job.state = state or "gone"

    def claimable(self) -> list[str]:
        return [
            job_id
            for job_id, job in self.jobs.items()
            if job.state == "pending" and not (job.retrying or job.deferred or job.live) and self.may_run(job)
        ]

    def may_run(self, job: ModelJob) -> bool:
        if "queue:" in self.paused:
            return False
        return self.live(job.user) < self.user_limit(job.user) and self.type_is_free(job.job_type)

    def ended(self, job_id: str) -> None:
        """The jobs that waited for this one go on, or end with it."""
        for child_id, child in self.jobs.items():
            if not (child.deferred and job_id in child.parents):
                continue
            states = [self.jobs[parent].state if parent in self.jobs else "gone" for parent in child.parents]
            if any(state in ("failed", "cancelled", "gone") for state in states) and not child.anyway:
                self.move("release", child, "cancelled")
                child.deferred = child.expires = False
                self.ended(child_id)
            elif all(state in (*TERMINAL, "gone") for state in states):
                child.deferred = False
                self.move("release", child, "scheduled" if child.due and not child.restarts else "pending")


class QueueMachine(RuleBasedStateMachine):
    valkey: ClassVar[ValkeyServer | None] = None
    ids = Bundle("ids")
    executions = Bundle("executions")

    @initialize()
    def start(self) -> None:
        assert QueueMachine.valkey is not None
        self.server = QueueMachine.valkey
        self.server.client.flushall()
        self.loop = asyncio.new_event_loop()
        self.world = World()
        self.numbers = itertools.count()
        folder = Path(tempfile.mkdtemp(prefix="jq-model-"))
        limits = {"JOBQUEUE_LIMITS_TOTAL": "4", "JOBQUEUE_LIMITS_PER_USER": "2"}
        limits["JOBQUEUE_RETENTION_INTERVAL_SECONDS"] = "0.000001"
        self.queue = self.run(JobQueue.open(settings_for(self.server.url, folder, **limits), name="w"))
        self.run(self.queue.register_worker())
        self.lane = Lane(self.queue.namespace, "w", 0, ("default",), LEASE_US)
        self.consumer = Consumer(self.queue.namespace, "w")
        self.renewer = LeaseRenewer(self.server.url, self.queue.namespace.keys, "w", lease_us=LEASE_US, timeout=5)
        self.rescue()
        self.server.client.hset("rq:x:meta", "rescue_after", 0)

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.renewer.close()
            self.run(self.queue.close())
            self.loop.close()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def new_id(self) -> str:
        """The same in every repetition of a case."""
        return f"job-{len(self.world.jobs)}-{next(self.numbers)}"

    # submit

    def _new(self, job_id: str, user: str, content: int, max_attempts: int, due: int | None = None) -> NewJob:
        return NewJob(job_id=job_id, function="a.b", args=[content], user_id=user, max_attempts=max_attempts, due=due)

    @rule(target=ids, user=st.sampled_from(USERS), later=st.booleans(), max_attempts=st.integers(1, 2))
    def submit(self, user: str, later: bool, max_attempts: int) -> str:
        job_id = self.new_id()
        due = 10**17 if later else None
        answer = self.run(self.queue.producer.enqueue(self._new(job_id, user, 1, max_attempts, due)))
        assert answer.created and answer.state == ("scheduled" if later else "pending")
        self.world.jobs[job_id] = ModelJob(user, max_attempts, due, state=answer.state)
        return job_id

    @rule(users=st.lists(st.sampled_from(USERS), min_size=1, max_size=8))
    def submit_many(self, users: list[str]) -> None:
        jobs = [self._new(self.new_id(), user, 1, 1) for user in users]
        answers = self.run(self.queue.producer.enqueue_many([*jobs, jobs[0]]))
        assert [answer.created for answer in answers] == [True] * len(jobs) + [False]
        for job in jobs:
            self.world.jobs[job.job_id] = ModelJob(job.user_id, 1)

    @rule(job_id=ids, same=st.booleans())
    def submit_again(self, job_id: str, same: bool) -> None:
        job = self.world.jobs.get(job_id)
        if job is None or job.state == "gone":
            return
        again = self._new(job_id, job.user, 1 if same else 2, job.max_attempts, job.due)
        if job.special:
            return
        if same:
            answer = self.run(self.queue.producer.enqueue(again))
            at_first = "scheduled" if job.due is not None and not job.restarts else "pending"
            assert not answer.created and answer.state == at_first
        else:
            with pytest.raises(DuplicateJob):
                self.run(self.queue.producer.enqueue(again))

    # claim

    @rule(target=executions, want=st.integers(1, 5))
    def claim(self, want: int) -> str:
        before = set(self.world.claimable())
        batch = self.run(self.lane.advance([], want))
        return self._claimed(batch.jobs, want, before, batch.shortage)

    def _claimed(self, jobs: list[Claimed], want: int, before: set[str], shortage: str) -> str:
        world = self.world
        assert len(jobs) <= want
        for claimed in jobs:
            job = world.jobs[claimed.job_id]
            assert claimed.job_id in before, (claimed.job_id, job, world.types, world.users, world.paused)
            world.move("claim", job, "running")
            job.attempt += 1
            job.claims += 1
            job.expires = False
            job.live = job.last = claimed.token
            assert claimed.attempt == job.attempt
            world.held[claimed.token] = Held(claimed)
        assert world.live() <= max(world.total, world.live() - len(jobs))
        for user in {claimed.user_id for claimed in jobs}:
            assert world.live(user) <= world.user_limit(user)
        if len(jobs) < want:
            assert not world.claimable() or world.live() >= world.total, shortage
            assert shortage
        return jobs[-1].token if jobs else "none:none"

    @rule()
    def repeat_claim(self) -> None:
        """The reply was lost: the same call again brings the same jobs, and takes nothing else."""
        before = set(self.world.claimable())
        self.run(self.lane.advance([], 3))
        given = set(self.world.held)
        first = self._repeat_last()
        if first:
            self._claimed([job for job in first if job.token not in given], 3, before, "?")
        again = self._repeat_last()
        assert {job.token for job in again} == {job.token for job in first}

    def _repeat_last(self) -> list[Claimed]:
        given = {
            "worker": "w",
            "lane": 0,
            "number": self.lane._number,
            "queues": "default",
            "want": 3,
            "execution_prefix": "f" * 16,
            "lease": LEASE_US,
            "eager": 0,
        }
        return [decode_claimed(row) for row in self.run(self.queue.namespace.run("claim", given))[3]]

    @precondition(lambda self: self.lane._number > 1)
    @rule()
    def delayed_claim(self) -> None:
        """A copy of an old call that the network kept back takes nothing."""
        given = {
            "worker": "w",
            "lane": 0,
            "number": self.lane._number - 1,
            "queues": "default",
            "want": 3,
            "execution_prefix": "e" * 16,
            "lease": LEASE_US,
            "eager": 0,
        }
        with pytest.raises(ClaimSuperseded):
            self.run(self.queue.namespace.run("claim", given))

    @rule(job_id=ids)
    def pushed_twice(self, job_id: str) -> None:
        """Somebody else puts the id of a job that does not wait into the list: it must not run by that."""
        job = self.world.jobs.get(job_id)
        if job is None or job.state == "pending":
            return
        self.server.client.lpush("rq:queue:default", job_id)
        before = set(self.world.claimable())
        batch = self.run(self.lane.advance([], 5))
        assert job_id not in {claimed.job_id for claimed in batch.jobs}
        self._claimed(batch.jobs, 5, before, batch.shortage)
        self.server.client.lrem("rq:queue:default", 0, job_id)

    # running

    @rule(token=executions, kind=st.sampled_from(["completed", "failed", "permanent", "released", "stopped"]))
    def finish(self, token: str, kind: str) -> None:
        held = self.world.held.get(token)
        if held is None:
            return
        outcome = {
            "completed": Completed({"a": [1, 2]}),
            "failed": Failed("ValueError: x", "trace"),
            "permanent": Failed("ValueError: x", "trace", permanent=True),
            "released": Released(),
            "stopped": Stopped(),
        }[kind]
        expected = self._finish_in_model(token, held, kind)
        verdicts = self.run(self.consumer.finish([Ended(held.job, outcome)]))
        assert verdicts == [expected]

    def _finish_in_model(self, token: str, held: Held, kind: str) -> str:
        job = self.world.jobs[held.job.job_id]
        if job.live != token:
            return job.verdict if job.last == token else "stale"
        job.live = None
        if job.state != "running":
            if job.state == "cancelled":
                job.verdict = "cancelled"
            return "cancelled"
        self._end_run(job, kind)
        if job.state in TERMINAL:
            self.world.ended(held.job.job_id)
        return "ok"

    def _end_run(self, job: ModelJob, kind: str) -> None:
        world = self.world
        job.verdict = "ok"
        if kind == "completed":
            world.move("finish", job, "completed")
        elif kind in ("failed", "permanent"):
            job.failures += 1
            retry = kind == "failed" and job.failures < job.max_attempts
            world.move("finish", job, "pending" if retry else "failed")
            job.retrying = retry
        else:
            world.move("give_back", job, "pending")
            job.attempt -= 1
        if job.state == "pending":
            job.progress = 0.0

    @rule(token=executions)
    def extend(self, token: str) -> None:
        held = self.world.held.get(token)
        if held is None:
            return
        job = self.world.jobs[held.job.job_id]
        holding = Holding(held.job.job_id, held.job.execution_id, records=True)
        answer = self.renewer.renew([holding], state="busy", rss_mb=1).leases
        expected = 0 if job.live != token else (1 if job.state == "running" else 2)
        assert answer == [expected]
        held.expired = held.expired and not expected

    @rule(token=executions, fraction=st.floats(0, 1))
    def progress(self, token: str, fraction: float) -> None:
        held = self.world.held.get(token)
        if held is None:
            return
        job = self.world.jobs[held.job.job_id]
        note = Progress(token, fraction, 'step "1"\n', 1, 2)
        kept = self.run(self.consumer.progress([(held.job, note)]))
        assert kept == [job.live == token and job.state == "running"]
        if kept[0]:
            job.progress = max(job.progress, fraction)

    @rule(token=executions)
    def expire(self, token: str) -> None:
        held = self.world.held.get(token)
        if held is None or self.world.jobs[held.job.job_id].live != token:
            return
        for key in ("rq:x:leases", "rq:x:stopping"):
            self.server.client.zadd(key, {token: 1}, xx=True)
        held.expired = True

    @rule()
    def rescue(self) -> None:
        given = {"interval": 0, "lease": LEASE_US, "batch": 100, "tick": 1_000_000}
        self.run(self.queue.namespace.run("rescue", given))
        for token, held in self.world.held.items():
            job = self.world.jobs[held.job.job_id]
            if held.expired and job.live == token:
                self._rescue_in_model(held.job.job_id, job)

    def _rescue_in_model(self, job_id: str, job: ModelJob) -> None:
        job.live = None
        if job.state != "running":
            if job.state == "cancelled":
                job.verdict = "cancelled"
            return
        job.losses += 1
        job.last = None
        self.world.move("rescue", job, "pending" if job.losses < 3 else "failed")
        if job.state == "pending":
            job.progress = 0.0
        else:
            self.world.ended(job_id)

    # from outside

    @rule(job_id=ids)
    def cancel(self, job_id: str) -> None:
        job = self.world.jobs.get(job_id)
        if job is None or job.state == "gone":
            with pytest.raises(JobNotFound):
                self.run(self.queue.producer.cancel(job_id))
        elif job.state in ("completed", "failed"):
            with pytest.raises(WrongState):
                self.run(self.queue.producer.cancel(job_id))
        else:
            answer = self.run(self.queue.producer.cancel(job_id))
            assert answer.changed == (job.state != "cancelled")
            if job.state != "cancelled":
                self.world.move("cancel", job, "cancelled")
                job.retrying = job.deferred = job.expires = False
                job.verdict = "cancelled"
                self.world.ended(job_id)

    @rule(job_id=ids, fresh=st.booleans())
    def restart(self, job_id: str, fresh: bool) -> None:
        job = self.world.jobs.get(job_id)
        if job is None or job.state == "gone":
            with pytest.raises(JobNotFound):
                self.run(self.queue.producer.restart(job_id))
        elif job.state not in RESTARTABLE:
            with pytest.raises(WrongState):
                self.run(self.queue.producer.restart(job_id))
        elif refusal := self._refuses_restart(job_id, job):
            with pytest.raises(refusal):
                self.run(self.queue.producer.restart(job_id))
        else:
            self.run(self.queue.producer.restart(job_id, args=["x", {}] if fresh else None))
            self.world.move("restart", job, "pending")
            states = [self.world.jobs[parent].state for parent in job.parents]
            job.deferred = any(state not in (*TERMINAL, "gone") for state in states)
            job.expires = self._expires_again(job_id)
            job.attempt = job.failures = job.losses = 0
            job.restarts += 1
            job.last = None
            job.progress = 0.0

    def _refuses_restart(self, job_id: str, job: ModelJob) -> type[Exception] | None:
        others = [other for other_id, other in self.world.jobs.items() if other_id != job_id]
        same_key = [other for other in others if job.unique and (other.user, other.unique) == (job.user, job.unique)]
        if any(other.state not in (*TERMINAL, "gone") for other in same_key):
            return UniqueKeyTaken
        states = {self.world.jobs[parent].state for parent in job.parents}
        return DependencyEnded if states & {"failed", "cancelled"} and not job.anyway else None

    def _expires_again(self, job_id: str) -> bool:
        return bool(self.server.client.hexists(f"rq:job:{job_id}", "x_expires"))

    # the same calls, aimed at jobs for which they matter

    def _one_of(self, data: st.DataObject, job_ids: list[str]) -> str:
        return data.draw(st.sampled_from(job_ids))

    def _where(self, *states: str, live: bool | None = None) -> list[str]:
        return [
            job_id
            for job_id, job in self.world.jobs.items()
            if job.state in states and live in (None, job.live is not None)
        ]

    @precondition(lambda self: self._where("running"))
    @rule(data=st.data())
    def cancel_running(self, data: st.DataObject) -> None:
        self.cancel(self._one_of(data, self._where("running")))

    @precondition(lambda self: self._where("cancelled", live=True))
    @rule(data=st.data())
    def restart_stopping(self, data: st.DataObject) -> None:
        self.restart(self._one_of(data, self._where("cancelled", live=True)), fresh=False)
        self.claim(5)

    @precondition(lambda self: self._where("running", "pending", live=True))
    @rule(data=st.data(), kind=st.sampled_from(["completed", "failed", "released"]))
    def end_and_claim(self, data: st.DataObject, kind: str) -> None:
        token = self.world.jobs[self._one_of(data, self._where("running", "pending", live=True))].live
        assert token is not None
        self.finish(token, kind)
        self.claim(5)

    @precondition(lambda self: self.world.held)
    @rule(data=st.data())
    def finish_late(self, data: st.DataObject) -> None:
        """An execution that has lost its job, or has answered before, tries again."""
        tokens = [t for t, held in self.world.held.items() if self.world.jobs[held.job.job_id].live != t]
        if tokens:
            self.finish(self._one_of(data, tokens), "completed")

    @precondition(lambda self: self._where("running"))
    @rule(data=st.data(), kind=st.sampled_from(["completed", "failed"]))
    def lose_worker_and_finish_late(self, data: st.DataObject, kind: str) -> None:
        token = self.world.jobs[self._one_of(data, self._where("running"))].live
        assert token is not None
        self.expire(token)
        self.rescue()
        self.claim(5)
        self.finish(token, kind)

    @precondition(lambda self: self._where("running"))
    @rule(data=st.data(), fractions=st.lists(st.floats(0, 1), min_size=2, max_size=3))
    def progress_on_running(self, data: st.DataObject, fractions: list[float]) -> None:
        token = self.world.jobs[self._one_of(data, self._where("running"))].live
        assert token is not None
        for fraction in fractions:
            self.progress(token, fraction)

    @rule()
    def promote_due(self) -> None:
        for job_id, job in self.world.jobs.items():
            if job.state == "scheduled" or job.retrying:
                self.server.client.zadd("rq:scheduled:default", {job_id: 1}, xx=True)
        self.run(self.queue.namespace.run("promote_due", {"interval": 0, "batch": 500}))
        for job in self.world.jobs.values():
            if job.state == "scheduled" or job.retrying:
                self.world.move("promote_due", job, "pending")
                job.retrying = False

    @rule(total=st.integers(1, 6), per_user=st.integers(1, 4))
    def set_limits(self, total: int, per_user: int) -> None:
        assert self.run(self.queue.control.set_limits(total=total, per_user=per_user)) == (total, per_user)
        self.world.total, self.world.per_user = total, per_user
        self.sweep()

    @rule()
    def sweep(self) -> None:
        self.run(self.queue.namespace.run("sweep", {"interval": 0, "cursor": "0", "batch": 50}))

    @rule(job_id=ids)
    def remove(self, job_id: str) -> None:
        job = self.world.jobs.get(job_id)
        if job is None or job.state == "gone":
            with pytest.raises(JobNotFound):
                self.run(self.queue.producer.remove(job_id))
        elif job.state not in TERMINAL or job.live:
            with pytest.raises(StillStopping if job.state in TERMINAL else WrongState):
                self.run(self.queue.producer.remove(job_id))
        else:
            self.run(self.queue.producer.remove(job_id))
            self.world.move("remove", job, None)
            job.last = None

    @rule(lost=st.lists(st.sampled_from(LOSABLE), max_size=2), strangers=st.booleans())
    def lose_and_clean_up(self, lost: list[str], strangers: bool) -> None:
        """Indexes are gone, or hold one too many: the cleanup leaves everything as it was."""
        client = self.server.client
        for key in [key for pattern in lost for key in client.keys(pattern)]:
            client.delete(key)
        if strangers:
            client.zadd("rq:x:state:pending", {"nobody": 1})
            client.sadd("rq:x:live:ann", "nobody:0")
            client.zadd("rq:rl:user:ann:allowed", {"nobody": 1})
            client.sadd("rq:rl-keys", "user:ann")
        assert self.run(self.queue.cleanup.run_if_due()) is not None
        self.run(self.queue.namespace.run("sweep", {"interval": 0, "cursor": "0", "batch": 50}))

    @rule()
    def script_flush(self) -> None:
        self.server.client.script_flush()

    # after each step

    @invariant()
    def nothing_is_broken(self) -> None:
        if hasattr(self, "world"):
            problems = fsck(self.server.client)
            assert problems == [], problems

    @invariant()
    def records_equal_the_model(self) -> None:
        if not hasattr(self, "world"):
            return
        ids = list(self.world.jobs)
        for job_id, found in zip(ids, self.run(self.queue.inspector.get_many(ids)), strict=True):
            job = self.world.jobs[job_id]
            if found is None:
                assert job.state == "gone"
                continue
            assert (found.state, found.attempt, found.restarts) == (job.state, job.attempt, job.restarts)
            assert len(found.attempts) == min(20, job.claims)
            if found.state in ("running", "pending"):
                assert found.progress == pytest.approx(job.progress, rel=1e-4, abs=1e-6)
        counts = self.run(self.queue.inspector.stats()).counts
        for state, count in counts.items():
            assert count == sum(1 for job in self.world.jobs.values() if job.state == state)

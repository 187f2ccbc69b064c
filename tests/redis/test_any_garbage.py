"""Anything, written by others into the record of a job in any state: no other job is touched by it.

Nothing that reads or writes fails in a way that is not documented, and `fsck` names what cannot be put right.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import rq
from conftest import ValkeyServer, settings_for
from hands import LEASE_US, Hands, after, new
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from rq.serializers import JSONSerializer

from jobqueue import Completed, Failed, JobQueue, NewJob
from jobqueue.consumer import Consumer, Ended
from jobqueue.errors import QueueError, ScriptError
from jobqueue.fsck import fsck
from jobqueue.job import Progress
from jobqueue.keys import is_job_id
from jobqueue.leases import Holding, LeaseRenewer

# Some twenty seconds together.
EXAMPLES = settings(
    max_examples=400, deadline=None, derandomize=True, database=None, phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)  # fmt: skip

FIELDS = (
    "status", "origin", "data", "timeout", "result_ttl", "failure_ttl", "ttl", "created_at", "enqueued_at",
    "started_at", "ended_at", "worker_name", "description", "rate_limit_key", "rate_limit_concurrency", "retries_left",
    "retry_intervals", "repeats_left", "repeat_intervals", "dependency_ids", "allow_dependency_failures", "group_id",
    "number_of_retries", "enqueue_at_front_on_retry", "success_callback_name", "webhooks", "meta",
    "x_v", "x_core", "x_run", "x_mark", "x_due", "x_order", "x_expires", "x_unique", "x_history", "x_progress",
    "x_step", "x_done", "x_total", "x_error", "x_backoff", "x_keep", "x_reason", "x_dependents", "x_schedule",
    "x_answer", "x_repeated", "x_retry", "x_digest", "x_records", "x_damaged",
)  # fmt: skip
# What decides where a job stands is tried more often.
OFTEN = ("status", "origin", "x_core", "x_run", "x_mark", "x_due", "x_order", "rate_limit_key", "dependency_ids")
STATUSES = (
    "created", "queued", "started", "finished", "failed", "deferred", "scheduled", "stopped", "canceled",
    "rate_limited", "ready_to_enqueue",
)  # fmt: skip
CORE = "\x1f".join(["bob", "+", "default", "", "1795727367684071", "86400", "7200", "1", "3", "3600", "", ""])
GARBAGE = (
    b"", b"nonsense", b"0", b"-1", b"9" * 30, b"9" * 5000, b"1e999", b"nan", b"inf", b"-0x10", b"1.5", b"\xff\x00\xfe",
    b"\x1f" * 11, b"a" * 70000, b"[]", b"{}", b"[1,[2]]", b'["\\ud800", 5, null]', b"[" * 3000, b"null", b"\n\n",
    b"- 0 0 0 0 0 0 -", b"x 1 1795727367684071 0 0 0 0 -", b"- 99999999999999 1 0 0 0 0 -", b"started 1 1",
    b"finished 5 5", b"finished 1", b"2026-11-26T20:00:00.000000Z", b"9999-12-31T23:59:59+23:59", CORE.encode(),
    CORE.replace("1795727367684071", "9" * 40).encode(), CORE.replace("3600", "x").encode(),
    CORE.replace("1795727367684071", "x").encode(), *(status.encode() for status in STATUSES),
)  # fmt: skip
OTHER_TYPES: dict[str, Callable[[Any, bytes], object]] = {
    "string": lambda client, key: client.set(key, "nonsense"),
    "list": lambda client, key: client.rpush(key, "a", "b"),
    "set": lambda client, key: client.sadd(key, "a"),
    "zset": lambda client, key: client.zadd(key, {"a": 1}),
    "gone": lambda client, key: None,
}
INDEXES = (
    "rq:queue:default", "rq:x:state:pending", "rq:x:state:completed", "rq:x:user:ann", "rq:rl:user:ann:allowed",
    "rq:rl:user:ann:rate_limited", "rq:scheduled:default", "rq:deferred:default", "rq:finished:default",
    "rq:failed:default", "rq:canceled:default", "rq:wip:default", "rq:x:leases", "rq:x:stopping", "rq:x:deadlines",
    "rq:x:live:ann", "rq:x:parked:ann", "rq:x:releases",
)  # fmt: skip
LIFE = (
    "queued", "waiting", "scheduled", "deferred", "running", "retrying", "finished", "failed", "cancelled", "stopping",
    "stock queued", "stock met", "stock running", "stock finished", "stock failed", "stock scheduled", "stock deferred",
)  # fmt: skip


class Place:
    """A queue with one job in a state, and three good ones beside it: two of the same user, one of another."""

    def __init__(self, queue: JobQueue, server: ValkeyServer) -> None:
        self.queue, self.client, self.url = queue, server.client, server.url
        self.hands = Hands(queue, server.client)
        self.stock = rq.Queue("default", connection=server.client, serializer=JSONSerializer)
        self.life = self.victim = ""
        self.good: list[str] = []
        self.ran: list[str] = []

    async def prepare(self, life: str) -> None:
        await self.queue.register_worker()
        self.life = life
        self.victim = await (self._stock if life.startswith("stock") else self._ours)(life)
        beside = [new("ann"), new("ann"), new("bob")]
        await self.hands.add(*beside)
        self.good = [job.job_id for job in beside]

    async def _ours(self, life: str) -> str:
        options: dict[str, Any] = {"max_attempts": 3, "backoff_seconds": 60} if life == "retrying" else {}
        if life == "queued":
            options |= {"unique_key": "k", "expires_in": 3600}
        job = new("ann", due=10**16 if life == "scheduled" else None, **options)
        if life == "waiting":
            await self.hands.add(*[new("ann") for _ in range(3)])
        if life == "deferred":
            parent = new("ann", due=10**16)
            job = after(parent)
            await self.hands.add(parent)
        await self.hands.add(job)
        await self._live(job.job_id, life)
        return job.job_id

    async def _stock(self, life: str) -> str:
        if life == "stock scheduled":
            return str(self.stock.enqueue_in(__import__("datetime").timedelta(hours=9), "math.hypot", 3, 4).id)
        if life == "stock deferred":
            parent = self.stock.enqueue("math.hypot", 3, 4)
            return str(self.stock.enqueue("math.hypot", 3, 4, depends_on=parent).id)
        made = self.stock.enqueue("math.hypot", 3, 4, retry=rq.Retry(2), on_success=rq.Callback("math.sqrt"))
        if life == "stock met":
            await self.hands.tick()
        await self._live(made.id, life.removeprefix("stock "))
        return str(made.id)

    async def _live(self, job_id: str, life: str) -> None:
        if life in ("running", "retrying", "finished", "failed", "stopping"):
            await self.hands.start(job_id)
        if life in ("retrying", "failed"):
            await self.hands.end(job_id, Failed("ValueError: x", permanent=life == "failed"))
        if life == "finished":
            await self.hands.end(job_id)
        if life in ("cancelled", "stopping"):
            await self.queue.producer.cancel(job_id)

    async def go_on(self) -> None:
        """Everything that happens in a while."""
        await self.read()
        await self.beat()
        for _ in range(3):
            await self.work()
            await self.tick()
        await self.change()
        self.let_time_pass()
        await self.hands.clean()
        for _ in range(3):
            await self.tick()
            await self.work()
        await self.hands.clean()
        await self.read()

    async def tick(self) -> None:
        self.client.hset("rq:x:meta", "rescue_after", 0)
        await self.hands.tick()

    def let_time_pass(self) -> None:
        """Whatever waits for its time is due, and whoever holds the victim is lost."""
        for key in ("rq:scheduled:default", "rq:x:deadlines"):
            if self.client.zscore(key, self.victim) is not None:
                self.client.zadd(key, {self.victim: 1})
        for key in ("rq:x:leases", "rq:x:stopping"):
            for token in self.client.zrange(key, 0, -1):
                if token.startswith(self.victim.encode() + b":"):
                    self.client.zadd(key, {token: 1})

    async def beat(self) -> None:
        renewer = LeaseRenewer(self.url, self.queue.namespace.keys, "test", lease_us=LEASE_US, timeout=5)
        held = list(self.hands.held.values())
        renewer.renew([Holding(job.job_id, job.execution_id, True) for job in held], state="busy", rss_mb=1)
        renewer.close()
        await Consumer(self.queue.namespace, "test").progress(
            [(job, Progress(job.token, fraction=0.5, step="half")) for job in held]
        )

    async def work(self) -> None:
        """Ends what is held and takes what there is, in one call; the victim sometimes fails."""
        held = list(self.hands.held.values())
        ended = [Ended(job, Failed("ValueError: x") if job.job_id == self.victim else Completed(1)) for job in held]
        self.hands.held.clear()
        batch = await self.hands.lane.advance(ended, 10)
        for job, verdict in zip(held, batch.verdicts, strict=True):
            assert verdict == "ok" or job.job_id not in self.good, "a good job lost its outcome"
        self.ran += [job.job_id for job in batch.jobs]
        self.hands.held = {job.job_id: job for job in batch.jobs}

    async def change(self) -> None:
        producer = self.queue.producer
        await documented(producer.cancel(self.victim))
        await documented(producer.restart(self.victim))
        await documented(producer.enqueue(NewJob(job_id=self.victim, function="a.b", user_id="ann")))
        await documented(producer.enqueue(after(NewJob(job_id=self.victim, function="a.b"))))

    async def read(self) -> None:
        inspector = self.queue.inspector
        found = await inspector.get_many([self.victim, *self.good])
        assert all(found[1:]), "a good job is hidden"
        await documented(inspector.get(self.victim, result=True))
        await inspector.explain([job for job in found if job])
        for user in (None, "ann"):
            cursor = None
            for _ in range(20):
                page = await inspector.page(user_id=user, limit=2, cursor=cursor)
                found += page.jobs
                cursor = page.next_cursor
                if cursor is None:
                    break
        orjson.dumps([job for job in found if job], default=str)
        await inspector.stats()

    async def judge(self) -> None:
        assert [self.ran.count(job_id) for job_id in self.good] == [1, 1, 1]
        found = await self.queue.inspector.get_many(self.good)
        assert [job and job.state for job in found] == ["completed"] * 3
        problems = fsck(self.client)
        assert [problem for problem in problems if any(job_id in problem for job_id in self.good)] == []
        kind = self.client.type(f"rq:job:{self.victim}")
        damaged = {member.decode("utf-8", "replace") for member in self.client.smembers("rq:x:damaged")}
        (job,) = await self.queue.inspector.get_many([self.victim])
        if (job and job.reason and job.reason.startswith("the record is damaged")) or kind not in (b"hash", b"none"):
            assert self.victim in damaged
            assert [problem for problem in problems if self.victim in problem]
        elif self.life.startswith("stock"):
            # Where RQ's registries have it is its tools' affair; it is named if they have left it somewhere else.
            assert all(self.victim in problem for problem in problems)
        else:
            assert problems == []


async def documented(call: Awaitable[object]) -> None:
    """A refusal that a caller may meet; but no script may fail."""
    try:
        await call
    except ScriptError:
        raise
    except QueueError:
        pass


def try_out(server: ValkeyServer, life: str, harm: Callable[[Place], object]) -> None:
    async def run() -> None:
        server.client.flushall()
        folder = Path(tempfile.mkdtemp(prefix="jq-"))
        queue = await JobQueue.open(settings_for(server.url, folder), name="test")
        try:
            place = Place(queue, server)
            await place.prepare(life)
            harm(place)
            await place.go_on()
            await place.judge()
        finally:
            await queue.close()
            shutil.rmtree(folder, ignore_errors=True)

    asyncio.run(run())


@EXAMPLES
@given(st.sampled_from(LIFE), st.sampled_from(FIELDS) | st.sampled_from(OFTEN), st.sampled_from(GARBAGE))
def test_anything_in_any_field(valkey_session: ValkeyServer, life: str, field: str, value: bytes) -> None:
    try_out(valkey_session, life, lambda place: place.client.hset(f"rq:job:{place.victim}", field, value))


@settings(EXAMPLES, max_examples=40)
@given(st.sampled_from(LIFE), st.sampled_from(sorted(OTHER_TYPES)))
def test_a_key_of_another_type_or_none(valkey_session: ValkeyServer, life: str, kind: str) -> None:
    def harm(place: Place) -> None:
        key = f"rq:job:{place.victim}".encode()
        place.client.delete(key)
        OTHER_TYPES[kind](place.client, key)

    try_out(valkey_session, life, harm)


@settings(EXAMPLES, max_examples=50)
@given(
    st.sampled_from(INDEXES),
    st.sampled_from([b"never-was", b"", b"\xff\x00", b"a b", b"a:b", b"a:b:c", b":", b"x" * 5000]),
    st.sampled_from([1.0, 1.5, -3.0, float("inf"), float("-inf"), 1e300, 1795727367684071.0]),
)
def test_strange_members(valkey_session: ValkeyServer, key: str, member: bytes, score: float) -> None:
    assert not is_job_id(member.decode("latin-1")) or member in (b"never-was", b"x" * 5000)

    def harm(place: Place) -> None:
        kind = place.client.type(key)
        if kind == b"list" or key == "rq:queue:default":
            place.client.lpush(key, member)
        elif kind == b"set" or key == "rq:x:live:ann":
            place.client.sadd(key, member)
        else:
            place.client.zadd(key, {member: score})

    try_out(valkey_session, "finished", harm)

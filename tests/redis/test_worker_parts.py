"""A worker in this process on a real Valkey: outages, late answers, leases, rescue by many at once."""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import ValkeyServer, eventually, settings_for
from pydantic import BaseModel

from jobqueue import Completed, Ended, JobQueue, Lane, NewJob, Settings
from jobqueue.consumer import Batch
from jobqueue.errors import QueueFull, QueueUnavailable
from jobqueue.fsck import fsck
from jobqueue.job import JOB_TYPE_FUNCTION, Claimed, Job
from jobqueue.leases import CANCELLED, LOST, RENEWED, Holding, LeaseRenewer, Renewal
from jobqueue.maintenance import Maintenance
from jobqueue.namespace import Namespace
from worker.context import JobContext
from worker.lease_keeper import LeaseKeeper
from worker.slots import Held, Slots
from worker.worker import Worker

LEASE_US = 6_000_000
TICK_US = 100_000

# What the jobs below say to the tests, and hear from them.
starts: list[str] = []
may_end = threading.Event()


class Nothing(BaseModel):
    pass


async def add(a: int, b: int) -> int:
    starts.append("add")
    return a + b


def add_in_a_thread(a: int, b: int) -> int:
    return a + b


async def fail() -> None:
    raise ValueError("no")


async def report(ctx: JobContext, parameters: Nothing) -> str:
    """A job type that tells its progress until it may end."""
    starts.append(ctx.job_id)
    done = 0
    while not may_end.is_set():
        done += 1
        ctx.progress(step=f"step {done}", done=done)
        await asyncio.sleep(0.01)
    return "reported"


def burn(ctx: JobContext, parameters: Nothing) -> str:
    """The same in a child; it ends when the test writes a file."""
    while not (ctx.folder / "end").exists():
        ctx.progress(step=str(psutil.Process().pid))
        time.sleep(0.01)
    return "burned"


@pytest.fixture(autouse=True)
def fresh_words() -> Iterator[None]:
    starts.clear()
    may_end.clear()
    yield
    may_end.set()


class Place:
    """A Valkey of the test's own and a queue with a worker's settings on it."""

    def __init__(self, folder: Path) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="jq-own-"))
        self._options = ("--appendonly", "yes", "--appendfsync", "always")
        self.valkey = ValkeyServer(self._folder, *self._options)
        types = "".join(
            f'[job_types.{name}]\nfunction = "{__name__}:{name}"\nparameters = "{__name__}:Nothing"\nmode = "{mode}"\n'
            for name, mode in (("report", "async"), ("burn", "process"))
        )
        (folder / "config.toml").write_text(types)
        self._tmp = folder

    def settings(self, lease: float = 6) -> Settings:
        return settings_for(
            self.valkey.url,
            self._tmp,
            JOBQUEUE_REDIS_CALL_TIMEOUT_SECONDS="0.3",
            JOBQUEUE_QUEUE_LEASE_SECONDS=str(lease),
            JOBQUEUE_SERVER_TICK_SECONDS="0.1",
            JOBQUEUE_WORKER_TICK_SECONDS="0.1",
            JOBQUEUE_WORKER_ALLOWED_FUNCTIONS=f"{__name__}.*",
        )

    def freeze(self) -> None:
        self.valkey.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.valkey.process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        self.valkey.stop()
        self.valkey = ValkeyServer(self._folder, *self._options)

    def remove(self) -> None:
        self.valkey.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Its namespace must be without broken invariants at the end."""
    made = Place(tmp_path)
    yield made
    problems = fsck(made.valkey.client)
    made.remove()
    assert problems == []


@pytest.fixture
async def here(place: Place) -> AsyncIterator[JobQueue]:
    opened = await JobQueue.open(place.settings(), name="w1")
    yield opened
    await opened.close()


@asynccontextmanager
async def working(queue: JobQueue, settings: Settings) -> AsyncIterator[Worker]:
    """A worker that must end by itself, with exit code 0."""
    worker = Worker(queue, settings)
    task = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        may_end.set()
        worker.stop()
        code = await task
    assert code == 0


def plain(name: str, *args: Any, user: str = "ann") -> NewJob:
    return NewJob(job_id=str(uuid.uuid4()), function=f"{__name__}.{name}", args=args, user_id=user)


def typed(name: str) -> NewJob:
    return NewJob(job_id=str(uuid.uuid4()), function=JOB_TYPE_FUNCTION, args=[name, {}], job_type=name)


async def until(queue: JobQueue, job: NewJob, holds: Callable[[Job], bool], what: str) -> Job:
    found: list[Job] = []

    async def there() -> bool:
        try:
            found[:] = [await queue.inspector.get(job.job_id, result=True)]
        except QueueUnavailable:
            return False
        return holds(found[0])

    await eventually(there, what, 15)
    return found[0]


async def until_completed(queue: JobQueue, job: NewJob) -> Job:
    return await until(queue, job, lambda found: found.state == "completed", "the job is completed")


async def until_true(holds: Callable[[], bool], what: str, seconds: float = 10) -> None:
    async def there() -> bool:
        return holds()

    await eventually(there, what, seconds)


async def test_jobs_run(here: JobQueue) -> None:
    jobs = [plain("add", 1, 2), plain("add_in_a_thread", 3, 4), plain("fail"), plain("add", 5, 6, user="bob")]
    await here.producer.enqueue_many(jobs[:2])
    async with working(here, here.settings):
        for job, result in zip(jobs[:2], (3, 7), strict=True):
            done = await until_completed(here, job)
            assert (done.result, done.attempt, done.worker) == (result, 1, "w1")
        await here.producer.enqueue_many(jobs[2:])
        assert (await until_completed(here, jobs[3])).result == 11
        failed = await until(here, jobs[2], lambda found: found.state == "failed", "the job has failed")
        assert failed.error == "ValueError: no"
    assert (await here.inspector.stats()).workers == (), "it unregisters when it stops"


async def test_500_jobs_run_once_each(here: JobQueue) -> None:
    await here.control.set_limits(total=100, per_user=100)
    await here.producer.enqueue_many([plain("add", n, 1, user=f"u{n % 5}") for n in range(500)])
    async with working(here, here.settings):

        async def all_done() -> bool:
            return (await here.inspector.stats()).counts["completed"] == 500

        await eventually(all_done, "all are completed", 20)
    assert len(starts) == 500


async def test_an_outage_longer_than_a_call_goes_unnoticed_by_a_job_that_reports(here: JobQueue, place: Place) -> None:
    job = typed("report")
    await here.producer.enqueue(job)
    async with working(here, here.settings):
        before = await until(here, job, lambda found: found.step != "", "the job reports")
        place.freeze()
        try:
            for _ in range(3):
                with pytest.raises(QueueUnavailable):
                    await here.ready()
        finally:
            place.thaw()
        seen = (
            await until(here, job, lambda found: found.items_done > before.items_done, "it reports again")
        ).items_done
        await until(here, job, lambda found: found.items_done > seen, "and again")
        may_end.set()
        done = await until_completed(here, job)
        assert (done.result, done.attempt) == ("reported", 1)
    assert starts == [job.job_id]


async def test_an_outcome_reported_into_an_outage_arrives_after_it(here: JobQueue, place: Place) -> None:
    job, later = typed("report"), plain("add", 1, 1, user="bob")
    await here.producer.enqueue(job)
    async with working(here, here.settings) as worker:
        await until(here, job, lambda found: found.step != "", "the job reports")
        place.freeze()
        try:
            may_end.set()
            await until_true(lambda: not worker.slots.held, "the job has ended")
            for _ in range(3):
                with pytest.raises(QueueUnavailable):
                    await here.ready()
        finally:
            place.thaw()
        assert (await until_completed(here, job)).attempt == 1
        await here.producer.enqueue(later)
        assert (await until_completed(here, later)).result == 2
    assert starts == [job.job_id, "add"]


async def test_a_worker_goes_on_after_its_server_was_started_again(here: JobQueue, place: Place) -> None:
    job = typed("report")
    await here.producer.enqueue(job)
    async with working(here, here.settings):
        await until(here, job, lambda found: found.step != "", "the job reports")
        place.restart()
        may_end.set()
        assert (await until_completed(here, job)).attempt == 1
    assert starts == [job.job_id]


class LateClaim:
    """Holds back the first answer that brings jobs, as a slow network would."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.arrived = asyncio.Event()
        self.go_on = asyncio.Event()
        self._advance = Lane.advance
        late = self

        async def advance(lane: Lane, ended: Sequence[Ended], want: int) -> Batch:
            return await late.hold(lane, ended, want)

        monkeypatch.setattr(Lane, "advance", advance)

    async def hold(self, lane: Lane, ended: Sequence[Ended], want: int) -> Batch:
        batch = await self._advance(lane, ended, want)
        if batch.jobs and not self.arrived.is_set():
            self.arrived.set()
            await self.go_on.wait()
        return batch


async def test_a_claim_answered_after_the_order_to_stop_is_given_back(
    here: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = LateClaim(monkeypatch)
    job = plain("add", 1, 2)
    async with working(here, here.settings) as worker:
        await here.producer.enqueue(job)
        await asyncio.wait_for(late.arrived.wait(), 10)
        assert (await here.inspector.get(job.job_id)).state == "running", "Redis gave it to this worker"
        worker.stop()
        worker.claim_loop.be_quiet()
        late.go_on.set()
    found = await here.inspector.get(job.job_id)
    assert (found.state, found.attempt) == ("pending", 0), "given back, not counted"
    assert starts == []
    monkeypatch.undo()
    other = await JobQueue.open(here.settings, name="w2")
    async with working(other, other.settings):
        assert (await until_completed(other, job)).attempt == 1
    await other.close()


class LostClaim:
    """The first reply that brings jobs is lost, and the server answers nothing more until it is thawed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, place: Place) -> None:
        self.lost = asyncio.Event()
        run = Namespace.run

        async def losing(namespace: Namespace, name: str, *rest: Any) -> Any:
            reply = await run(namespace, name, *rest)
            if name in ("claim", "advance") and reply[3] and not self.lost.is_set():
                place.freeze()
                self.lost.set()
                raise QueueUnavailable("the reply was lost")
            return reply

        monkeypatch.setattr(Namespace, "run", losing)


async def test_a_claim_whose_reply_an_outage_took_is_given_back_by_a_worker_that_stops(
    here: JobQueue, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = LostClaim(monkeypatch, place)
    job = plain("add", 1, 2)
    async with working(here, here.settings) as worker:
        await here.producer.enqueue(job)
        try:
            await asyncio.wait_for(claim.lost.wait(), 10)
            worker.claim_loop.be_quiet()
            with pytest.raises(QueueUnavailable):
                await here.ready()
            assert worker.claim_loop.open_calls > 0, "it asks again and again"
        finally:
            place.thaw()
    found = await here.inspector.get(job.job_id)
    assert (found.state, found.attempt) == ("pending", 0)
    assert starts == []


async def test_a_child_is_frozen_while_its_lease_cannot_be_renewed_and_goes_on_after(place: Place) -> None:
    queue = await JobQueue.open(place.settings(lease=2), name="w1")
    job = typed("burn")
    await queue.producer.enqueue(job)
    async with working(queue, queue.settings):
        child = psutil.Process(int((await until(queue, job, lambda found: found.step != "", "it reports")).step))
        place.freeze()
        try:
            await until_true(lambda: child.status() == psutil.STATUS_STOPPED, "the child is stopped", 5)
        finally:
            place.thaw()
        await until_true(lambda: child.status() != psutil.STATUS_STOPPED, "the child goes on", 5)
        (queue.settings.storage.jobs_dir / job.job_id / "end").touch()
        done = await until_completed(queue, job)
        assert (done.result, done.attempt) == ("burned", 1)
    await queue.close()


class FakeRenewer:
    """Answers as told; `failure` is raised instead."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.answer = RENEWED
        self.registered = True
        self.calls = 0

    def renew(self, holdings: Sequence[Holding], *, state: str, rss_mb: int, stopping: bool) -> Renewal:
        self.calls += 1
        if self.failure is not None:
            raise self.failure
        return Renewal(self.registered, [self.answer for _ in holdings])

    def close(self) -> None:
        pass


class FakeRun:
    """Notes what it is told, and when."""

    def __init__(self) -> None:
        self.told: dict[str, float] = {}

    def trust(self, until: float) -> None:
        self.trusted_until = until

    def __getattr__(self, name: str) -> Callable[[], None]:
        return lambda: self.told.setdefault(name, time.monotonic()) and None


class Kept:
    """One job held by a lease keeper with a lease of a second."""

    LEASE = 1.0

    def __init__(self) -> None:
        self.renewer = FakeRenewer()
        self.run = FakeRun()
        self.unknown = 0
        slots = Slots(Settings())
        slots.trust_seconds = 0.8 * self.LEASE
        job = claimed_job()
        now = time.monotonic()
        self.held = Held(job, self.run, now, now, float("inf"))  # type: ignore[arg-type]
        slots.held[job.token] = self.held
        self.slots = slots
        self.keeper = LeaseKeeper(
            self.renewer,  # type: ignore[arg-type]
            slots,
            asyncio.get_running_loop(),
            lease_seconds=self.LEASE,
            on_unknown=self._on_unknown,
        )

    def _on_unknown(self) -> None:
        self.unknown += 1

    async def until_told(self, what: str) -> float:
        await until_true(lambda: what in self.run.told, f"the job is told to {what}", 5)
        return self.run.told[what]


def claimed_job() -> Claimed:
    return Claimed(
        job_id="j", execution_id="e", function="a.b", args=[], kwargs={}, job_type="", user_id="ann", queue="default",
        created=0, attempt=1, fence=1, failures=0, max_attempts=1, timeout_seconds=None, serializer="json",
    )  # fmt: skip


@pytest.fixture
async def kept() -> AsyncIterator[Kept]:
    made = Kept()
    made.keeper.start()
    yield made
    made.slots.held.clear()
    await asyncio.to_thread(made.keeper.stop)


async def test_a_lease_is_renewed_each_third_and_the_job_left_alone(kept: Kept) -> None:
    first = kept.held.renewed_at
    await until_true(lambda: kept.renewer.calls >= 5, "renewed five times")
    assert kept.held.renewed_at > first + kept.LEASE
    assert kept.run.told == {}
    assert kept.keeper.alive


async def test_a_job_is_trusted_until_a_fifth_of_its_lease_is_left(kept: Kept) -> None:
    await until_true(lambda: kept.renewer.calls >= 2, "renewed")
    kept.renewer.failure = QueueUnavailable("away")
    distrusted = await kept.until_told("distrust")
    assert 0.8 * kept.LEASE <= distrusted - kept.held.renewed_at < kept.LEASE
    assert kept.run.trusted_until == kept.held.renewed_at + 0.8 * kept.LEASE
    kept.renewer.failure = None
    await until_true(lambda: kept.run.trusted_until > distrusted, "trusted again")
    assert set(kept.run.told) == {"distrust"}


async def test_a_server_that_cannot_write_extends_the_trust(kept: Kept) -> None:
    """Nobody else can take the job either."""
    kept.renewer.failure = QueueFull("OOM")
    begun = time.monotonic()
    await until_true(lambda: time.monotonic() - begun > 1.5 * kept.LEASE and kept.renewer.calls > 3, "a lease is over")
    assert kept.run.told == {}


async def test_a_lost_lease_ends_the_job_and_a_cancelled_one_is_told(kept: Kept) -> None:
    kept.renewer.answer = CANCELLED
    await kept.until_told("cancel")
    assert "abandon" not in kept.run.told
    kept.renewer.answer = LOST
    await kept.until_told("abandon")
    assert kept.held.lost_at < time.monotonic()


async def test_a_forgotten_worker_is_told_to_register(kept: Kept) -> None:
    kept.renewer.registered = False
    await until_true(lambda: kept.unknown > 0, "told")


class Rescues:
    """The rescue script, called as a ticker does, and what it remembers between two calls."""

    def __init__(self, queue: JobQueue, valkey: ValkeyServer) -> None:
        self.queue = queue
        self.client = valkey.client
        self._keys = queue.namespace.keys

    def now(self) -> int:
        seconds, micros = self.client.time()
        return int(seconds) * 1_000_000 + int(micros)

    def remember(self, *, silence: int = 0, run_id: str | None = None) -> None:
        """As if the last tick was `silence` microseconds ago, and everything calm before it."""
        known = run_id or self.client.info("server")["run_id"]
        self.client.hset(
            self._keys.meta,
            mapping={"run_id": known, "rescue_tick": self.now() - silence, "rescue_after": 0, "rescue_throttle": 0},
        )

    def expire(self) -> None:
        """All leases, a moment ago."""
        for token in self.client.zrange(self._keys.leases, 0, -1):
            self.client.zadd(self._keys.leases, {token: self.now() - 1})

    async def call(self) -> list[int]:
        given = {"interval": 0, "lease": LEASE_US, "batch": 100, "tick": TICK_US}
        counts: list[int] = await self.queue.namespace.run("rescue", given)
        return counts[:3]

    async def claim(self, count: int = 1) -> list[Claimed]:
        await self.queue.register_worker()
        await self.queue.producer.enqueue_many([plain("add", n, 0, user=f"u{n}") for n in range(count)])
        lane = Lane(self.queue.namespace, self.queue.name, 0, ("default",), LEASE_US)
        jobs = (await lane.advance([], count)).jobs
        assert len(jobs) == count
        return jobs

    def renew(self, jobs: Sequence[Claimed]) -> list[int]:
        renewer = LeaseRenewer(self.queue.url, self._keys, self.queue.name, lease_us=LEASE_US, timeout=1)
        try:
            holdings = [Holding(job.job_id, job.execution_id, False) for job in jobs]
            return renewer.renew(holdings, state="busy", rss_mb=1).leases
        finally:
            renewer.close()

    async def finish(self, jobs: Sequence[Claimed]) -> list[str]:
        lane = Lane(self.queue.namespace, self.queue.name, 1, ("default",), LEASE_US)
        return list((await lane.advance([Ended(job, Completed(1)) for job in jobs], 0)).verdicts)


@pytest.fixture
def rescues(here: JobQueue, place: Place) -> Rescues:
    return Rescues(here, place.valkey)


async def test_an_expired_lease_is_rescued_in_calm_times(rescues: Rescues) -> None:
    jobs = await rescues.claim()
    rescues.remember()
    assert await rescues.call() == [0, 0, 0], "the lease still counts"
    rescues.expire()
    assert await rescues.call() == [1, 0, 0]
    found = await rescues.queue.inspector.get(jobs[0].job_id)
    assert found.state == "pending"
    assert rescues.renew(jobs) == [LOST]
    assert await rescues.finish(jobs) == ["stale"]


async def test_an_outage_shorter_than_the_lease_costs_no_attempt(rescues: Rescues) -> None:
    """No ticker was heard for half a lease, so nobody could renew either: living workers get the time to do it."""
    jobs = await rescues.claim(3)
    rescues.expire()
    rescues.remember(silence=LEASE_US // 2)
    for _ in range(3):
        assert await rescues.call() == [0, 0, 0]
    assert rescues.renew(jobs) == [RENEWED] * 3
    rescues.remember()
    assert await rescues.call() == [0, 0, 0], "renewed, so there is nothing to rescue"
    assert await rescues.finish(jobs) == ["ok"] * 3
    found = [await rescues.queue.inspector.get(job.job_id) for job in jobs]
    assert {(job.state, job.attempt) for job in found} == {("completed", 1)}


async def test_a_silence_of_a_few_ticks_is_no_outage(rescues: Rescues) -> None:
    await rescues.claim()
    rescues.expire()
    rescues.remember(silence=3 * TICK_US)
    assert await rescues.call() == [1, 0, 0]


async def test_nobody_is_rescued_for_one_lease_after_another_run_id(rescues: Rescues) -> None:
    await rescues.claim()
    rescues.expire()
    rescues.remember(run_id="another")
    before = rescues.now()
    assert await rescues.call() == [0, 0, 0]
    after = int(rescues.client.hget(rescues.queue.namespace.keys.meta, "rescue_after"))
    assert before + LEASE_US <= after <= rescues.now() + LEASE_US
    assert await rescues.call() == [0, 0, 0], "the second call knows the new run_id and holds back all the same"
    rescues.client.hset(rescues.queue.namespace.keys.meta, "rescue_after", rescues.now() - 1)
    assert await rescues.call() == [1, 0, 0]


async def test_a_server_started_again_rescues_nobody_at_once(here: JobQueue, place: Place, rescues: Rescues) -> None:
    jobs = await rescues.claim(2)
    rescues.remember()
    rescues.expire()
    await here.close()
    place.restart()
    queue = await JobQueue.open(here.settings, name="w1")
    again = Rescues(queue, place.valkey)
    assert await again.call() == [0, 0, 0]
    assert again.renew(jobs) == [RENEWED] * 2
    assert await again.finish(jobs) == ["ok"] * 2
    await queue.close()


async def test_a_clock_that_went_backwards_rescues_nobody_at_once(rescues: Rescues) -> None:
    await rescues.claim()
    rescues.expire()
    rescues.remember(silence=-2_000_000)
    assert await rescues.call() == [0, 0, 0]


async def test_five_tickers_at_once_rescue_and_move_each_job_once(
    here: JobQueue, place: Place, rescues: Rescues
) -> None:
    await here.control.set_limits(total=1000, per_user=1000)
    lost = await rescues.claim(230)
    due = rescues.now() + 300_000
    scheduled = [NewJob(job_id=str(uuid.uuid4()), function="a.b", user_id=f"u{n % 7}", due=due) for n in range(620)]
    await here.producer.enqueue_many(scheduled)
    await until_true(lambda: rescues.now() > due, "they are due")
    rescues.expire()
    rescues.remember()
    queues = [await JobQueue.open(here.settings, name=f"t{n}") for n in range(5)]
    tickers = [Maintenance(queue.namespace, lease_us=LEASE_US, interval_us=0) for queue in queues]
    rescued = promoted = 0
    more = True
    while more:
        reports = await asyncio.gather(*(ticker.tick() for ticker in tickers))
        rescued += sum(report.rescued for report in reports)
        promoted += sum(report.promoted for report in reports)
        more = any(report.more for report in reports)
    assert (rescued, promoted) == (230, 620)
    counts = (await here.inspector.stats()).counts
    assert (counts["pending"], counts["running"], counts["scheduled"]) == (850, 0, 0)
    waiting = [job_id.decode() for job_id in rescues.client.lrange("rq:queue:default", 0, -1)]
    assert sorted(waiting) == sorted([job.job_id for job in [*lost, *scheduled]])
    for queue in queues:
        await queue.close()
    lane = Lane(here.namespace, "w1", 2, ("default",), LEASE_US)
    batch = await lane.advance([], 1000)
    attempts = {job.job_id: job.attempt for job in batch.jobs}
    assert attempts == {job.job_id: 2 for job in lost} | {job.job_id: 1 for job in scheduled}
    assert set((await lane.advance([Ended(job, Completed(1)) for job in batch.jobs], 0)).verdicts) == {"ok"}


async def test_five_tickers_in_step_act_once_per_interval(here: JobQueue, rescues: Rescues) -> None:
    await rescues.claim(5)
    rescues.expire()
    rescues.remember()
    queues = [await JobQueue.open(here.settings, name=f"t{n}") for n in range(5)]
    tickers = [Maintenance(queue.namespace, lease_us=LEASE_US, interval_us=60_000_000) for queue in queues]
    reports = await asyncio.gather(*(ticker.tick() for ticker in tickers))
    assert sorted(report.rescued for report in reports) == [0, 0, 0, 0, 5]
    lane = Lane(here.namespace, "w1", 2, ("default",), LEASE_US)
    jobs = (await lane.advance([], 5)).jobs
    rescues.expire()
    reports = await asyncio.gather(*(ticker.tick() for ticker in tickers))
    assert [report.rescued for report in reports] == [0] * 5, "the interval is not over"
    assert await rescues.finish(jobs) == ["ok"] * 5
    for queue in queues:
        await queue.close()

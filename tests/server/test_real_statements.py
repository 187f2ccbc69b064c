"""Status, statistics, claims and limits over the real library: statements B, C, F, I, J, L, M and O."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import moments_for_tests
import pytest
from conftest import ValkeyServer, eventually, settings_for
from rq import Queue as StockQueue
from rq.job import JobStatus
from rq.serializers import JSONSerializer
from working_hand import LEASE_US, WorkingHand, get, submit

from jobqueue import Completed, Ended, Failed, JobQueue, Lane, NewJob, Released, Settings, Stopped
from jobqueue.errors import StrangeKey
from jobqueue.presence import unique_name
from server.answers import job_json
from worker.worker import Worker

STATS = "/api/v1/jobs/queue/stats"
STATES = ("pending", "running", "scheduled", "completed", "failed", "cancelled")


def new_job(user: str = "ann", function: str = "a.b") -> NewJob:
    return NewJob(job_id=str(uuid.uuid4()), function=function, user_id=user)


async def counts(api: Any) -> dict[str, int]:
    body = (await api.get(STATS))[1]
    assert body["total_jobs"] == sum(body[f"{state}_jobs"] for state in STATES)
    return {state: body[f"{state}_jobs"] for state in STATES}


async def test_api_B5_over_every_limit_submitting_succeeds(real: Any, worker: WorkingHand) -> None:
    ids = [await submit(real, user_id=f"u{n % 5}") for n in range(40)]
    claimed = await worker.claim_many(40)
    assert len(claimed) == 10
    late = await submit(real, user_id=claimed[0].user_id)
    assert (await get(real, late))["status"] == "pending"
    assert Counter([(await get(real, job_id))["status"] for job_id in ids]) == {"pending": 30, "running": 10}
    for job in claimed:
        await worker.finish(job, Completed())


async def test_api_C2_every_word_of_rq_has_one_of_ours(queue: JobQueue, valkey: ValkeyServer) -> None:
    words = {
        "pending": ("created", "queued", "deferred", "ready_to_enqueue", "rate_limited"),
        "running": ("started",),
        "completed": ("finished",),
        "failed": ("failed",),
        "cancelled": ("canceled", "stopped"),
        "scheduled": ("scheduled",),
    }
    assert {word.value for word in JobStatus} <= {word for group in words.values() for word in group}
    stock = StockQueue("default", connection=valkey.client, serializer=JSONSerializer).enqueue("shop.mail.send", 1)
    for ours, group in words.items():
        for word in group:
            valkey.client.hset(f"rq:job:{stock.id}", "status", word)
            assert (await queue.inspector.get(stock.id)).state == ours
    valkey.client.flushall()


async def test_api_C3_progress_in_every_state(real: Any, worker: WorkingHand) -> None:
    ends = {"completed": Completed(), "failed": Failed("x", permanent=True)}
    for state, outcome in ends.items():
        job_id = await submit(real)
        assert (await get(real, job_id))["progress"] == 0.0
        job = await worker.claim()
        await worker.progress(job, 0.75, "most of it")
        assert (await get(real, job_id))["progress"] == 0.75
        await worker.finish(job, outcome)
        body = await get(real, job_id)
        assert (body["status"], body["progress"]) == (state, 1.0 if state == "completed" else 0.75)
        assert type(body["progress"]) is float
    job_id = await submit(real)
    job = await worker.claim()
    await worker.progress(job, 0.5, "half")
    await real.post(f"/api/v1/jobs/cancel/{job_id}")
    assert (await get(real, job_id))["progress"] == 0.5
    await worker.verdict(job, Stopped())


@pytest.mark.parametrize("wrong_by", [-7200.0, 7200.0])
async def test_api_C5_times_are_in_order_whatever_the_clock_of_the_host(
    real: Any, worker: WorkingHand, monkeypatch: pytest.MonkeyPatch, wrong_by: float
) -> None:
    job_id, other = await submit(real), await submit(real)
    right = time.time
    monkeypatch.setattr(time, "time", lambda: right() + wrong_by)
    done, gone = await worker.claim(), await worker.claim()
    await worker.finish(done, Completed())
    await real.post(f"/api/v1/jobs/cancel/{other}")
    await worker.verdict(gone, Stopped())
    for found in await worker.queue.inspector.get_many([job_id, other]):
        assert found is not None and found.started_at is not None and found.ended_at is not None
        assert found.created_at <= found.started_at <= found.ended_at
        assert abs(found.ended_at / 1e6 - right()) < 60


async def test_api_C6_time_grows_while_running_and_stands_afterwards(real: Any, worker: WorkingHand) -> None:
    job_id = await submit(real)

    async def seconds() -> float:
        return float((await get(real, job_id))["metrics"]["execution_time_seconds"])

    async def longer_than(least: float) -> None:
        async def grown() -> bool:
            return await seconds() > least

        await eventually(grown, f"it has run for more than {least} s")

    assert await seconds() == 0
    first = await worker.claim()
    await longer_than(0.05)
    await worker.finish(first, Released())
    waiting = await seconds()
    created = time.monotonic()
    await eventually(lambda: _after(created, 0.2), "it has waited")
    assert await seconds() == waiting >= 0.05
    again = await worker.claim()
    await worker.progress(again, 0.5, "half")
    await longer_than(waiting)
    await worker.finish(again, Completed())
    final = await seconds()
    found = await worker.queue.inspector.get(job_id)
    assert found.ended_at is not None
    assert waiting < final < (found.ended_at - found.created_at) / 1e6 - 0.15, "waiting does not count"
    metrics = (await get(real, job_id))["metrics"]
    assert metrics == {"execution_time_seconds": final, "items_processed": 1, "total_items": 2}


async def _after(since: float, seconds: float) -> bool:
    return time.monotonic() - since > seconds


async def test_api_C8_status_is_what_redis_holds_now(real: Any, worker: WorkingHand, valkey: ValkeyServer) -> None:
    job_id = await submit(real)
    job = await worker.claim()
    async with real.stream(job_id) as events:
        await events.event()
        for n in range(1, 6):
            valkey.client.hset(f"rq:job:{job_id}", "x_progress", n / 10)
            query = "?refresh=true" if n % 2 else ""
            status, body = await real.get(f"/api/v1/jobs/status/{job_id}{query}")
            assert (status, body["progress"]) == (200, n / 10)
        assert (await real.get(STATS))[1]["cache_size"] == 1
    await worker.finish(job, Completed())


async def test_api_F2_F3_F11_counts_hold_under_load(real: Any, worker: WorkingHand) -> None:
    ids = [await submit(real, user_id=f"u{n % 6}") for n in range(60)]
    working = True

    async def work() -> None:
        for _ in range(40):
            for job in await worker.claim_many(4):
                await worker.verdict(job, random.choice([Completed(), Failed("x", permanent=True), Released()]))

    async def change() -> None:
        for _ in range(150):
            verb = random.choice(["cancel", "restart"])
            assert (await real.post(f"/api/v1/jobs/{verb}/{random.choice(ids)}"))[0] in (200, 409)

    async def look() -> int:
        looks = 0
        while working:
            found = await counts(real)
            assert sum(found.values()) == 60 and min(found.values()) >= 0
            assert found["running"] <= 10
            looks += 1
        return looks

    looking = asyncio.create_task(look(), name="look")
    await asyncio.gather(work(), change())
    working = False
    assert await looking > 20
    bodies = [await get(real, job_id) for job_id in ids]
    assert Counter(body["status"] for body in bodies) == Counter(await counts(real))


def commands(valkey: ValkeyServer) -> dict[str, int]:
    found: Any = valkey.client.info("commandstats")
    return {name.removeprefix("cmdstat_"): entry["calls"] for name, entry in found.items()}


async def cost(valkey: ValkeyServer, action: Callable[[], Awaitable[Any]]) -> dict[str, int]:
    """How often each Redis command was called, scripts included."""
    before = commands(valkey)
    await action()
    after = commands(valkey)
    return {name: calls - before.get(name, 0) for name, calls in after.items() if calls != before.get(name, 0)}


async def test_api_F5_statistics_cost_the_same_for_ten_and_for_two_thousand_jobs(
    queue: JobQueue, valkey: ValkeyServer
) -> None:
    await queue.register_worker()
    await queue.producer.enqueue_many([new_job() for _ in range(10)])
    await queue.inspector.stats()
    few = await cost(valkey, queue.inspector.stats)
    await queue.producer.enqueue_many([new_job(f"u{n % 50}") for n in range(2000)])
    many = await cost(valkey, queue.inspector.stats)
    assert (await queue.inspector.stats()).counts["pending"] == 2010
    assert many == few
    assert many["zcard"] >= 6 and not {"zrange", "keys", "scan", "zscan", "hgetall", "lrange", "sort"} & set(many)


async def test_api_F6_counts_are_of_retained_jobs(real: Any, worker: WorkingHand) -> None:
    for _ in range(3):
        await submit(real)
    for job in await worker.claim_many(3):
        await worker.finish(job, Completed())
    assert (await counts(real))["completed"] == 3
    await worker.queue.producer.remove(job.job_id)
    assert (await counts(real))["completed"] == 2


async def test_api_F8_M6_limits_in_force_are_shown_and_lowering_kills_nothing(real: Any, worker: WorkingHand) -> None:
    async def shown() -> tuple[int, int]:
        body = (await real.get(STATS))[1]
        return body["global_max_concurrent_jobs"], body["per_user_max_concurrent_jobs"]

    assert await shown() == (10, 3)
    ids = [await submit(real) for _ in range(4)]
    running = await worker.claim_many(4)
    assert len(running) == 3
    await worker.queue.control.set_limits(total=2, per_user=1)
    assert await shown() == (2, 1)
    assert [(await get(real, job_id))["status"] for job_id in ids] == ["running"] * 3 + ["pending"]
    for job in running:
        assert await worker.claim_many() == []
        await worker.progress(job, 0.5, "goes on")
        await worker.finish(job, Completed())
    (last,) = await worker.claim_many()
    await worker.finish(last, Completed())
    await worker.queue.control.reset_limits()
    assert await shown() == (10, 3)


async def test_api_I1_I3_stored_times_of_every_origin_are_read(queue: JobQueue, valkey: ValkeyServer) -> None:
    """All mixtures of what RQ, its older versions and naive programs have written."""
    await queue.register_worker()
    job = new_job()
    await queue.producer.enqueue(job)
    hand = WorkingHand(queue)
    await hand.finish(await hand.claim(), Completed())
    fields = ("created_at", "started_at", "ended_at")
    forms = ("15:30:0{}.123456Z", "15:30:0{}Z", "15:30:0{}.5", "15:30:0{}", "17:30:0{}+02:00")
    for mixture in itertools.product(forms, repeat=3):
        moments = [f"2025-11-12T{form.format(second)}" for second, form in enumerate(mixture, 5)]
        valkey.client.hset(f"rq:job:{job.job_id}", mapping=dict(zip(fields, moments, strict=True)))
        body = job_json(await queue.inspector.get(job.job_id))
        written = [body[name] for name in ("created_at", "started_at", "completed_at")]
        assert written == [f"2025-11-12T15:30:0{second}Z" for second in (5, 6, 7)]
        assert 0 < body["metrics"]["execution_time_seconds"] < 2
    valkey.client.flushall()


async def test_api_J4_names_are_unique_and_a_leftover_registration_stops_nobody(
    settings: Settings, queue: JobQueue
) -> None:
    names = {unique_name() for _ in range(1000)}
    assert len(names) == 1000
    await queue.register_worker()
    await queue.register_worker()
    again = await JobQueue.open(settings, name=names.pop())
    await again.register_worker()
    assert len((await queue.inspector.stats()).workers) == 2
    await again.close()


async def test_api_J2_a_busy_worker_is_not_removed(queue: JobQueue, valkey: ValkeyServer) -> None:
    await queue.register_worker()
    await queue.producer.enqueue(new_job())
    hand = WorkingHand(queue)
    job = await hand.claim()
    valkey.client.hset("rq:job:" + job.job_id, "started_at", "2020-01-01T00:00:00.000000Z")
    assert await queue.maintenance.check_workers() == 0
    assert [worker.name for worker in (await queue.inspector.stats()).workers] == ["test"]
    valkey.client.flushall()


async def test_api_L1_a_claim_takes_everything_at_once(queue: JobQueue, valkey: ValkeyServer) -> None:
    await queue.register_worker()
    await queue.control.set_limits(total=5, per_user=2)
    jobs = [new_job(f"u{n % 4}") for n in range(12)]
    await queue.producer.enqueue_many(jobs)
    await queue.producer.cancel(jobs[0].job_id)
    lanes = [Lane(queue.namespace, "test", number, ["default"], LEASE_US) for number in range(8)]
    claimed = [job for batch in await asyncio.gather(*(lane.advance([], 3) for lane in lanes)) for job in batch.jobs]
    assert len({job.job_id for job in claimed}) == len(claimed) == 5
    assert jobs[0].job_id not in {job.job_id for job in claimed}
    assert max(Counter(job.user_id for job in claimed).values()) <= 2
    keys = queue.namespace.keys
    assert set(valkey.client.zrange(keys.leases, 0, -1)) == {job.token.encode() for job in claimed}
    found = await queue.inspector.get_many([job.job_id for job in claimed])
    assert [job.state for job in found if job is not None] == ["running"] * 5
    live = {user: valkey.client.scard(keys.live(user)) for user in {job.user_id for job in claimed}}
    assert live == Counter(job.user_id for job in claimed)


async def test_api_L2_an_id_pushed_twice_runs_once(queue: JobQueue, valkey: ValkeyServer) -> None:
    await queue.register_worker()
    job = new_job()
    await queue.producer.enqueue(job)
    valkey.client.rpush("rq:queue:default", job.job_id, job.job_id)
    hand = WorkingHand(queue)
    (claimed,) = await hand.claim_many()
    valkey.client.lpush("rq:queue:default", job.job_id)
    assert await hand.claim_many() == []
    await hand.finish(claimed, Completed())
    valkey.client.lpush("rq:queue:default", job.job_id)
    assert await hand.claim_many() == []
    assert (await queue.inspector.get(job.job_id)).attempt == 1


@pytest.fixture
def moments() -> Iterator[list[float]]:
    moments_for_tests.began.clear()
    moments_for_tests.may_end = asyncio.Event()
    yield moments_for_tests.began
    moments_for_tests.may_end.set()


@asynccontextmanager
async def patient_workers(valkey: ValkeyServer, folder: Path, count: int) -> AsyncIterator[JobQueue]:
    """All that they do now and then they do each 100 s: what comes sooner came by push."""
    settings = settings_for(
        valkey.url,
        folder,
        JOBQUEUE_QUEUE_LEASE_SECONDS="300",
        JOBQUEUE_SERVER_TICK_SECONDS="100",
        JOBQUEUE_WORKER_TICK_SECONDS="100",
        JOBQUEUE_WORKER_CONCURRENCY="1",
        JOBQUEUE_WORKER_ALLOWED_FUNCTIONS="moments_for_tests.*",
    )
    queues = [await JobQueue.open(settings, name=f"w{n}") for n in range(count)]
    workers = [Worker(queue, settings) for queue in queues]
    tasks = [asyncio.create_task(worker.run(), name="worker") for worker in workers]
    try:
        yield queues[0]
    finally:
        moments_for_tests.may_end.set()
        for worker in workers:
            worker.stop()
        codes = await asyncio.gather(*tasks)
        for queue in queues:
            await queue.close()
    assert set(codes) == {0}


async def begun(count: int) -> bool:
    return len(moments_for_tests.began) >= count


async def test_api_M2_what_waits_starts_by_itself(valkey: ValkeyServer, tmp_path: Path, moments: list[float]) -> None:
    async with patient_workers(valkey, tmp_path, 2) as queue:
        await queue.control.set_limits(total=1, per_user=1)
        jobs = [new_job(user, "moments_for_tests.run") for user in ("ann", "ann", "bob")]
        await queue.producer.enqueue_many(jobs)
        await eventually(lambda: begun(1), "the first runs")
        assert (await queue.inspector.stats()).counts["pending"] == 2
        freed = asyncio.get_running_loop().time()
        moments_for_tests.may_end.set()
        await eventually(lambda: begun(3), "the others run")
        assert moments[1] - freed < 1


async def test_api_G2_a_running_job_is_told_by_push(valkey: ValkeyServer, tmp_path: Path, moments: list[float]) -> None:
    async with patient_workers(valkey, tmp_path, 1) as queue:
        job = new_job("ann", "moments_for_tests.run")
        await queue.producer.enqueue(job)
        await eventually(lambda: begun(1), "it runs")
        await queue.producer.cancel(job.job_id)
        assert (await queue.inspector.get(job.job_id)).state == "cancelled"

        async def stopped() -> bool:
            return not valkey.client.zcard(queue.namespace.keys.stopping)

        await eventually(stopped, "the execution has stopped", 5)
        assert not moments_for_tests.may_end.is_set()


ENDS: dict[str, Any] = {
    "completion": Completed(),
    "failure": Failed("x", permanent=True),
    "retry": Failed("x"),
    "release": Released(),
    "cancel": Stopped(),
    "lost": None,
}


@pytest.mark.parametrize("end", ENDS)
async def test_api_M5_every_end_frees_the_slot(queue: JobQueue, valkey: ValkeyServer, end: str) -> None:
    await queue.register_worker()
    await queue.control.set_limits(total=1, per_user=1)
    await queue.maintenance.tick()
    valkey.client.hset("rq:x:meta", "rescue_after", 0)
    await queue.producer.enqueue_many([new_job(), new_job()])
    hand = WorkingHand(queue)
    job = await hand.claim()
    assert await hand.claim_many() == []
    if end == "cancel":
        await queue.producer.cancel(job.job_id)
    if end == "lost":
        valkey.client.zadd("rq:x:leases", {job.token: 1}, xx=True)
        await queue.namespace.run("rescue", {"interval": 0, "lease": LEASE_US, "batch": 10, "tick": 1_000_000})
    else:
        await hand.verdict(job, ENDS[end])
    (following,) = await hand.claim_many()
    assert valkey.client.zcard("rq:x:leases") == valkey.client.scard("rq:x:live:ann") == 1
    await hand.finish(following, Completed())


async def test_api_M7_nothing_starts_when_limits_cannot_be_read(queue: JobQueue, valkey: ValkeyServer) -> None:
    await queue.register_worker()
    job = new_job()
    await queue.producer.enqueue(job)
    limits = queue.namespace.keys.limits
    kept = valkey.client.hgetall(limits)
    valkey.client.delete(limits)
    valkey.client.set(limits, "damaged")
    lane = Lane(queue.namespace, "test", 0, ["default"], LEASE_US)
    with pytest.raises(StrangeKey):
        await lane.advance([], 5)
    assert valkey.client.zcard(queue.namespace.keys.leases) == 0
    assert (await queue.inspector.get(job.job_id)).state == "pending"
    valkey.client.delete(limits)
    valkey.client.hset(limits, mapping=kept)  # type: ignore[arg-type]
    (claimed,) = (await lane.repeat()).jobs
    assert claimed.job_id == job.job_id
    await lane.advance([Ended(claimed, Completed())], 0)


async def test_api_M8_a_claim_costs_the_same_whatever_waits(queue: JobQueue, valkey: ValkeyServer) -> None:
    await queue.register_worker()
    lane = Lane(queue.namespace, "test", 0, ["default"], LEASE_US)

    async def one() -> dict[str, int]:
        (job,) = (await lane.advance([], 1)).jobs
        return await cost(valkey, lambda: lane.advance([Ended(job, Completed())], 1))

    await queue.producer.enqueue_many([new_job(f"u{n % 5}") for n in range(20)])
    few = sum((await one()).values())
    await queue.producer.enqueue_many([new_job(f"u{n % 50}") for n in range(3000)])
    await queue.control.set_limits(total=100, per_user=3)
    many = sum((await one()).values())
    assert many <= few * 1.25
    valkey.client.flushall()


async def test_api_C9_O1_O2_the_documented_speed(real: Any, worker: WorkingHand) -> None:
    """The documented figures are floors with much room below them."""
    started = time.perf_counter()
    ids = [await submit(real, user_id=f"u{n % 10}") for n in range(200)]
    assert (time.perf_counter() - started) / 200 < 0.1
    asked = time.perf_counter()
    for job_id in ids:
        await get(real, job_id)
    assert (time.perf_counter() - asked) / 200 < 0.05
    await worker.finish_all()
    assert (await counts(real))["completed"] == 200
    assert time.perf_counter() - started < 60, "over 200 jobs a minute"


def test_api_O4_how_often_cleanup_and_worker_check_run() -> None:
    assert Settings().retention.interval_seconds == 600
    assert Settings().server.worker_check_seconds == 300


async def test_api_C6_a_job_cancelled_while_it_waits_again_has_not_run_meanwhile(
    real: Any, worker: WorkingHand
) -> None:
    job_id = await submit(real)
    running = await worker.claim()
    started = time.monotonic()
    await eventually(lambda: _after(started, 0.05), "it has run")
    await worker.finish(running, Released())
    ran = (await get(real, job_id))["metrics"]["execution_time_seconds"]
    waited = time.monotonic()
    await eventually(lambda: _after(waited, 0.3), "it has waited")
    await real.post(f"/api/v1/jobs/cancel/{job_id}")
    assert (await get(real, job_id))["metrics"]["execution_time_seconds"] == ran >= 0.05

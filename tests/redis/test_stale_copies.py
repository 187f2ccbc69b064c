"""A stock producer saves an old copy of a job over what has become of it since."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import rq
from conftest import ValkeyServer
from hands import LEASE_US, Hands, new
from rq.job import Job as StockJob
from rq.serializers import JSONSerializer

from jobqueue import Completed, Failed, NewJob
from jobqueue.errors import WrongState
from jobqueue.leases import Holding, LeaseRenewer


def copy_of(valkey: ValkeyServer, job: NewJob | str) -> StockJob:
    job_id = job if isinstance(job, str) else job.job_id
    return StockJob.fetch(job_id, connection=valkey.client, serializer=JSONSerializer)


def beat(hands: Hands, valkey: ValkeyServer) -> None:
    """The worker renews its leases."""
    renewer = LeaseRenewer(valkey.url, hands.queue.namespace.keys, "test", lease_us=LEASE_US, timeout=5)
    renewer.renew([Holding(job.job_id, job.execution_id, False) for job in hands.held.values()], state="busy", rss_mb=1)
    renewer.close()


def save(old: StockJob, stock: rq.Queue) -> None:
    old.save()


def save_and_push(old: StockJob, stock: rq.Queue) -> None:
    old.save()
    stock.push_job_id(old.id)


def enqueue_again(old: StockJob, stock: rq.Queue) -> None:
    """Without a limiter, so that it goes straight into the list."""
    old.rate_limit_key = old.rate_limit_concurrency = None
    stock.enqueue_job(old)


WAYS = pytest.mark.parametrize("write", [save, save_and_push, enqueue_again])
Write = Callable[[StockJob, rq.Queue], None]


@WAYS
@pytest.mark.parametrize("is_long", [False, True])
@pytest.mark.parametrize("claims_first", [False, True])
async def test_over_a_running_job(
    hands: Hands, stock: rq.Queue, valkey: ValkeyServer, write: Write, is_long: bool, claims_first: bool
) -> None:
    job = new()
    await hands.add(job)
    old = copy_of(valkey, job)
    await hands.start(job)
    before = await hands.get(job)
    write(old, stock)
    assert hands.status(job) == "queued"
    if is_long:
        other = new("bob")
        await hands.add(other)
        assert await hands.take() == [other.job_id]
        await hands.end(other)
    if claims_first:
        assert await hands.take() == []
    await hands.tick()
    assert await hands.take() == []
    beat(hands, valkey)
    found = await hands.get(job)
    assert (found.state, found.announced, found.attempt) == ("running", True, 1)
    assert (found.worker, found.started_at) == (before.worker, before.started_at)
    assert found.seq > before.seq, "watchers who have read the old copy are told"
    assert (await hands.queue.inspector.stats()).counts["running"] == 1
    await hands.clean()
    await hands.end(job)
    assert await hands.take() == []
    assert (await hands.queue.inspector.get(job.job_id, result=True)).result == 1


@WAYS
async def test_the_outcome_comes_before_anybody_looks(
    hands: Hands, stock: rq.Queue, valkey: ValkeyServer, write: Write
) -> None:
    job = new()
    await hands.add(job)
    old = copy_of(valkey, job)
    await hands.start(job)
    write(old, stock)
    await hands.end(job, Completed(7))
    assert await hands.take() == []
    assert (await hands.queue.inspector.get(job.job_id, result=True)).result == 7


@WAYS
@pytest.mark.parametrize("copied", ["queued", "started"])
@pytest.mark.parametrize("claims_first", [False, True])
async def test_over_a_finished_job(
    hands: Hands, stock: rq.Queue, valkey: ValkeyServer, write: Write, copied: str, claims_first: bool
) -> None:
    job = new()
    await hands.add(job)
    old = copy_of(valkey, job)
    await hands.start(job)
    if copied == "started":
        old = copy_of(valkey, job)
    await hands.end(job)
    before = await hands.queue.inspector.get(job.job_id, result=True)
    write(old, stock)
    if claims_first:
        assert await hands.take() == []
    await hands.tick()
    assert await hands.take() == []
    found = await hands.queue.inspector.get(job.job_id, result=True)
    assert (found.state, found.result, found.announced, found.worker) == ("completed", 1, True, "test")
    assert before.ended_at and found.ended_at and abs(found.ended_at - before.ended_at) < 1000
    assert 0 < valkey.client.ttl(f"rq:job:{job.job_id}") <= 86400
    assert (await hands.queue.inspector.stats()).counts["completed"] == 1


@WAYS
@pytest.mark.parametrize("had_run", [False, True])
async def test_over_a_cancelled_job(
    hands: Hands, stock: rq.Queue, valkey: ValkeyServer, write: Write, had_run: bool
) -> None:
    job = new()
    await hands.add(job)
    old = copy_of(valkey, job)
    if had_run:
        await hands.start(job)
    await hands.queue.producer.cancel(job.job_id)
    write(old, stock)
    assert await hands.take() == []
    await hands.tick()
    found = await hands.get(job)
    assert (found.state, found.announced) == ("cancelled", True)
    if had_run:
        await hands.stop(job)
    await hands.clean()
    assert (await hands.get(job)).state == "cancelled"
    await hands.queue.producer.restart(job.job_id)
    await hands.run(job)


async def test_over_a_failed_job_that_nobody_has_put_into_the_list(
    hands: Hands, stock: rq.Queue, valkey: ValkeyServer
) -> None:
    job = new()
    await hands.add(job)
    old = copy_of(valkey, job)
    await hands.run(job, Failed("ValueError: x"))
    old.save()
    await hands.tick()
    await hands.clean()
    assert await hands.take() == []
    assert (await hands.get(job)).state == "failed"


@WAYS
async def test_over_a_stock_job_that_we_run(hands: Hands, stock: rq.Queue, write: Write) -> None:
    old = stock.enqueue("math.hypot", 3, 4)
    assert await hands.take() == [old.id]
    write(old, stock)
    await hands.tick()
    assert await hands.take() == []
    assert (await hands.get(old.id)).state == "running"
    await hands.end(old.id)
    old.save()
    await hands.tick()
    assert (await hands.get(old.id)).state == "completed"


async def test_who_asks_for_a_change_first_meets_the_truth(hands: Hands, valkey: ValkeyServer) -> None:
    running, ended = new(), new()
    await hands.add(running, ended)
    old = [copy_of(valkey, job) for job in (running, ended)]
    await hands.start(running, ended)
    await hands.end(ended)
    for copy in old:
        copy.save()
    with pytest.raises(WrongState, match="completed"):
        await hands.queue.producer.cancel(ended.job_id)
    with pytest.raises(WrongState, match="running"):
        await hands.queue.producer.restart(running.job_id)
    old[0].save()
    await hands.queue.producer.cancel(running.job_id)
    assert valkey.client.zcard("rq:x:stopping") == 1, "its worker is told, and it keeps its slot until it has stopped"
    await hands.stop(running)


async def test_what_a_stock_tool_requeues_runs_again(hands: Hands, valkey: ValkeyServer) -> None:
    failed, cancelled = new(), new()
    await hands.add(failed, cancelled)
    await hands.queue.producer.cancel(cancelled.job_id)
    await hands.run(failed, Failed("ValueError: x"))
    for registry, job in ((rq.registry.FailedJobRegistry, failed), (rq.registry.CanceledJobRegistry, cancelled)):
        registry("default", connection=valkey.client, serializer=JSONSerializer).requeue(job.job_id)
    await hands.tick()
    await hands.take()
    assert hands.held.keys() == {failed.job_id, cancelled.job_id}
    await hands.end(failed)
    await hands.end(cancelled)

"""A producer of RQ saves an old copy of a job over what has happened since: nothing runs twice, nothing is lost."""

from __future__ import annotations

import pytest
import rq
from conftest import ValkeyServer
from hands import LEASE_US, Hands, new
from rq.job import Job
from rq.serializers import JSONSerializer

from jobqueue import Completed, Failed
from jobqueue.errors import WrongState
from jobqueue.leases import Holding, LeaseRenewer


def copy_of(hands: Hands, job_id: str) -> Job:
    return Job.fetch(job_id, connection=hands.client, serializer=JSONSerializer)


@pytest.fixture(params=["ours", "stock"])
async def job_id(request: pytest.FixtureRequest, hands: Hands, stock: rq.Queue) -> str:
    if request.param == "stock":
        return str(stock.enqueue("a.b").id)
    job = new()
    await hands.add(job)
    return job.job_id


@pytest.mark.parametrize("is_pushed", [False, True])
async def test_over_a_running_job(hands: Hands, job_id: str, is_pushed: bool) -> None:
    old = copy_of(hands, job_id)
    assert await hands.take() == [job_id]
    old.save()
    if is_pushed:
        hands.client.rpush("rq:queue:default", job_id)
        assert await hands.take() == [], "it runs"
        hands.client.rpush("rq:queue:default", job_id)
    await hands.tick()
    assert (hands.status(job_id), hands.client.llen("rq:queue:default")) == ("started", 0)
    found = await hands.get(job_id)
    assert (found.state, found.started_at is not None) == ("running", True)
    await hands.end(job_id)
    assert await hands.states(job_id) == ["completed"]


async def test_in_the_moment_before_the_end(hands: Hands, job_id: str) -> None:
    old = copy_of(hands, job_id)
    await hands.take()
    old.save()
    await hands.end(job_id, Completed(7))
    assert copy_of(hands, job_id).return_value() == 7
    assert await hands.states(job_id) == ["completed"]


@pytest.mark.parametrize("end", ["completed", "failed", "cancelled"])
async def test_over_a_job_that_has_ended(hands: Hands, job_id: str, end: str) -> None:
    old = copy_of(hands, job_id)
    await hands.take()
    if end == "cancelled":
        await hands.queue.producer.cancel(job_id)
        await hands.stop(job_id)
    else:
        await hands.end(job_id, Completed(7) if end == "completed" else Failed("it broke"))
    old.save()
    await hands.tick()
    found = await hands.get(job_id)
    assert (found.state, found.ended_at is not None) == (end, True)
    assert await hands.take() == []


async def test_over_a_running_job_whose_worker_is_lost(hands: Hands, job_id: str) -> None:
    old = copy_of(hands, job_id)
    assert await hands.take() == [job_id]
    await hands.tick()
    old.save()
    # The rescue comes before anybody has put the record right.
    hands.expire_lease(job_id)
    await hands.tick()
    assert await hands.take() == [job_id]
    await hands.end(job_id)
    assert await hands.states(job_id) == ["completed"]


def renew(hands: Hands, valkey: ValkeyServer) -> None:
    renewer = LeaseRenewer(valkey.url, hands.queue.namespace.keys, "test", lease_us=LEASE_US, timeout=5)
    renewer.renew([Holding(job.job_id, job.execution_id, False) for job in hands.held.values()], state="busy", rss_mb=1)
    renewer.close()


async def test_a_running_job_is_shown_as_before(hands: Hands, job_id: str, valkey: ValkeyServer) -> None:
    old = copy_of(hands, job_id)
    await hands.take()
    before = await hands.get(job_id)
    old.save()
    await hands.tick()
    renew(hands, valkey)
    found = await hands.get(job_id)
    assert (found.state, found.announced, found.attempt) == ("running", True, 1)
    assert (found.worker, found.started_at) == (before.worker, before.started_at)
    assert found.seq > before.seq, "watchers who have read the old copy are told"
    assert (await hands.queue.inspector.stats()).counts["running"] == 1
    await hands.end(job_id)


async def test_an_ended_job_is_shown_as_before(hands: Hands, job_id: str) -> None:
    old = copy_of(hands, job_id)
    await hands.take()
    await hands.end(job_id, Completed(7))
    before = await hands.queue.inspector.get(job_id, result=True)
    old.save()
    await hands.tick()
    found = await hands.queue.inspector.get(job_id, result=True)
    assert (found.state, found.result, found.worker, found.announced) == ("completed", 7, "test", True)
    for now, then in ((found.started_at, before.started_at), (found.ended_at, before.ended_at)):
        assert now and then and abs(now - then) < 1000
    assert found.seq > before.seq
    assert (await hands.queue.inspector.stats()).counts["completed"] == 1
    assert hands.client.ttl(f"rq:job:{job_id}") > 0


async def test_who_asks_for_a_change_first_meets_the_truth(hands: Hands) -> None:
    running, ended = new(), new()
    await hands.add(running, ended)
    old = [copy_of(hands, job.job_id) for job in (running, ended)]
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
    assert hands.client.zcard("rq:x:stopping") == 1, "its worker is told, and it keeps its slot until it has stopped"
    await hands.stop(running)

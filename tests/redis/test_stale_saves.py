"""A producer of RQ saves an old copy of a job over what has happened since: nothing runs twice, nothing is lost."""

from __future__ import annotations

import pytest
import rq
from hands import Hands, new
from rq.job import Job
from rq.serializers import JSONSerializer

from jobqueue import Completed, Failed


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

"""Jobs that we enqueue, run by stock RQ 3.0.0 (checks 1 to 3), and every record as RQ reads and writes it (30)."""

from __future__ import annotations

from typing import Any

import pytest
from hands import Hands, after, new
from rq.job import Job
from rq.registry import CanceledJobRegistry, FailedJobRegistry
from rq.results import Result
from rq_support import Processes, Site, until

from jobqueue import Failed, NewJob

ADD = {"function": "rq_jobs.add", "args": [1], "kwargs": {"b": 2}}


def made(**options: Any) -> NewJob:
    return new_with(new(), **options)


def new_with(job: NewJob, **options: Any) -> NewJob:
    for name, value in options.items():
        setattr(job, name, value)
    return job


async def enqueue_both(site: Site) -> tuple[str, str]:
    """One that is well, one that fails twice."""
    good = made(**ADD)
    bad = made(function="rq_jobs.fail", max_attempts=2, backoff_seconds=0)
    async with site.opened() as queue:
        for job in (good, bad):
            await queue.producer.enqueue(job)
    return good.job_id, bad.job_id


def own_fields(site: Site, job_id: str) -> dict[bytes, bytes]:
    return {name: value for name, value in site.client.hgetall(f"rq:job:{job_id}").items() if name.startswith(b"x_")}


async def judge(site: Site, good: str, bad: str) -> None:
    job = site.job(good)
    assert (job.get_status(), job.return_value(), job.meta) == ("finished", 3, {})
    result = job.latest_result()
    assert result is not None and result.type == Result.Type.SUCCESSFUL
    failed = site.job(bad)
    assert (failed.get_status(), failed.retries_left) == ("failed", 0)
    assert [result.type for result in failed.results()] == [Result.Type.FAILED]
    assert "ValueError: no" in (failed.latest_result().exc_string or "")
    assert FailedJobRegistry("default", connection=site.client).get_job_ids() == [bad]
    assert "queue default 0, 0 executing, 1 finished, 1 failed" in site.info()
    async with site.opened() as queue:
        hands = Hands(queue, site.client)
        await hands.tick()
        assert await hands.states(good, bad) == ["completed", "failed"]
        assert (await hands.get(good)).user_id == "ann"
        assert (await queue.inspector.get(good, result=True)).result == 3
    await site.settled()


async def test_1_2_3_a_stock_worker_in_this_process(json_site: Site) -> None:
    good, bad = await enqueue_both(json_site)
    assert json_site.info()[0] == "queue default 2, 0 executing, 0 finished, 0 failed"
    before = own_fields(json_site, good)
    json_site.work()
    assert own_fields(json_site, good) == before
    await judge(json_site, good, bad)


@pytest.mark.process
async def test_2_3_rq_worker_as_a_process(json_site: Site, json_processes: Processes) -> None:
    good, bad = await enqueue_both(json_site)
    process = json_processes.stock("--burst", "default")
    await until(lambda: process.poll() is not None, "the burst is over", 20)
    await judge(json_site, good, bad)


async def test_2_a_pickle_worker_fails_what_it_cannot_read_and_goes_on(json_site: Site) -> None:
    """Without `--serializer json` it is a mistake of the operator, and no more than a failed job."""
    good, _ = await enqueue_both(json_site)
    pickled = json_site.stock_queue(serializer="pickle")
    following = pickled.enqueue("rq_jobs.add", 2, 3)
    Site(json_site.server, json_site.folder, "pickle").work(pickled)
    assert json_site.status(good) == "failed"
    assert following.return_value() == 5
    await json_site.settled()


async def every_state(hands: Hands, site: Site) -> dict[str, str]:
    """Jobs of ours wherever a job can be, the ids by RQ's status."""
    jobs = {name: new(name) for name in ("finished", "failed", "started", "retried", "canceled")}
    await hands.add(*jobs.values())
    await hands.take()
    await hands.end(jobs["finished"])
    await hands.end(jobs["failed"], Failed("ValueError: no", "trace"))
    await hands.queue.producer.cancel(jobs["canceled"].job_id)
    await hands.stop(jobs["canceled"])
    retried = new("retry", max_attempts=2, backoff_seconds=30)
    await hands.add(retried)
    await hands.run(retried, Failed("ValueError: no"))
    waiting = [new("crowd") for _ in range(4)]
    scheduled = new("later", delay_seconds=500, unique_key="one", expires_in=50)
    await hands.add(*waiting, scheduled, after(waiting[0], user="crowd"))
    child = [job_id.decode() for job_id in site.client.zrange("rq:deferred:default", 0, -1)]
    del jobs["retried"]
    ids = {name: job.job_id for name, job in jobs.items()}
    ids |= {"queued": waiting[0].job_id, "rate_limited": waiting[3].job_id, "deferred": child[0]}
    return ids | {"scheduled": scheduled.job_id, "scheduled for a retry": retried.job_id}


async def test_30_every_record_is_read_and_saved_by_rq_without_loss(json_site: Site) -> None:
    site = json_site
    async with site.opened() as queue:
        await queue.register_worker()
        hands = Hands(queue, site.client)
        for status, job_id in (await every_state(hands, site)).items():
            before = own_fields(site, job_id)
            job = site.job(job_id)
            assert job.get_status() == status.partition(" ")[0]
            job.save()
            again = site.job(job_id)
            assert (again.func_name, again.origin, again.timeout) == ("a.b", "default", 3600)
            assert own_fields(site, job_id) == before
        await hands.end_together({job_id: Failed("x") for job_id in list(hands.held)})
    await site.settled()


async def test_30_a_job_of_a_stock_producer_keeps_its_fields_with_us(site: Site) -> None:
    job = site.queue.enqueue("rq_jobs.add", 1, b=2, meta={"note": "kept"}, description="words", ttl=500)
    await site.run_ours(job.id)
    before = own_fields(site, job.id)
    assert before
    found = site.job(job.id)
    assert (found.meta, found.description) == ({"note": "kept"}, "words")
    assert (list(found.args), found.kwargs) == ([1], {"b": 2})
    found.save()
    assert own_fields(site, job.id) == before
    assert site.job(job.id).return_value() == 3


@pytest.mark.parametrize("pickle", ["plain", "trusted"])
async def test_pickles_that_name_classes_need_trust(rq_server: Any, json_site: Site, pickle: str) -> None:
    site = Site(json_site.server, json_site.folder, "pickle")
    job: Job = site.queue.enqueue("rq_jobs.add", complex(1, 2), complex(1, 1))
    await site.run_ours(job.id, JOBQUEUE_WORKER_PICKLE=pickle)
    if pickle == "trusted":
        assert site.job(job.id).return_value() == complex(2, 3)
    else:
        assert site.status(job.id) == "failed"
        assert "builtins.complex, which is refused" in (site.job(job.id).latest_result().exc_string or "")
    assert CanceledJobRegistry("default", connection=site.client).get_job_ids() == []

"""RQ's other tools and options over jobs that we hold: its command line, deletions, repeats, places in line."""

from __future__ import annotations

import pytest
from hands import Hands, new
from rq import Queue, Repeat
from rq.command import send_stop_job_command
from rq.exceptions import DuplicateJobError
from rq.registry import FinishedJobRegistry
from rq_support import Site, until

from jobqueue.fsck import fsck


async def after_cleanup(site: Site) -> list[str]:
    async with site.opened() as queue:
        hands = Hands(queue, site.client)
        await hands.tick_through()
        await hands.clean()
        await hands.tick_through()
    return fsck(site.client)


async def test_rq_enqueue_for_our_worker(site: Site) -> None:
    site.cli("enqueue", "--serializer", site.serializer_name, "--job-id", "from-the-shell", "rq_jobs.add", ":1", "b:=2")
    await site.run_ours("from-the-shell")
    assert site.job("from-the-shell").return_value() == 3


async def test_rq_requeue_all(site: Site) -> None:
    ids = [site.queue.enqueue("rq_jobs.fail").id for _ in range(3)]
    await site.run_ours(*ids)
    site.cli("requeue", "--queue", "default", "--all", "--serializer", site.serializer_name)
    assert set(site.listed()) == set(ids)
    await site.run_ours(*ids)
    assert {len(site.job(job_id).results()) for job_id in ids} == {2}
    assert await after_cleanup(site) == []


async def test_rq_empty_takes_what_is_in_the_list(json_site: Site) -> None:
    jobs = [new() for _ in range(5)]
    async with json_site.opened() as queue:
        await queue.producer.enqueue_many(jobs)
        json_site.cli("empty", "default")
        hands = Hands(queue, json_site.client)
        await queue.register_worker()
        assert (await hands.states(*jobs))[:3] == ["gone"] * 3
        # Those who waited for a place get it.
        await hands.clean()
        await hands.tick_through()
        assert set(await hands.take()) == {job.job_id for job in jobs[3:]}
        for job_id in list(hands.held):
            await hands.end(job_id)
    assert await after_cleanup(json_site) == []


async def test_rq_deletes_a_job_that_we_run(site: Site) -> None:
    job = site.queue.enqueue("rq_jobs.hold", str(site.gate))
    async with site.ours():
        await until(lambda: site.status(job.id) == "started", "it runs")
        site.job(job.id).delete()
        site.open_gate()
        following = site.queue.enqueue("rq_jobs.add", 1)
        await until(lambda: site.status(following.id) == "finished", "the next one")
        await until(lambda: not site.client.exists("rq:x:leases"), "its lease is gone")
    assert site.status(job.id) == "gone"
    assert await after_cleanup(site) == []


async def test_rq_cancels_a_job_that_we_run(site: Site) -> None:
    """RQ's cancel does not stop it; with the command to stop, as its users do, it ends at once."""
    job = site.queue.enqueue("rq_jobs.hold", str(site.gate))
    async with site.ours() as queue:
        await until(lambda: site.status(job.id) == "started", "it runs")
        await until(lambda: site.client.pubsub_numsub("rq:pubsub:ours")[0][1], "our worker hears commands")
        site.job(job.id).cancel()
        send_stop_job_command(site.client, job.id)
        await until(lambda: not site.client.exists("rq:x:leases"), "its slot is free", 3)
        assert (await queue.inspector.get(job.id)).state == "cancelled"
    assert site.status(job.id) in ("canceled", "stopped")
    await site.settled()


async def test_a_repeat_goes_on_with_either_worker(site: Site) -> None:
    job = site.queue.enqueue("rq_jobs.add", 1, repeat=Repeat(times=2, interval=0))
    async with site.opened() as queue:
        await queue.register_worker()
        await Hands(queue, site.client).run(job.id)
    assert (site.status(job.id), site.job(job.id).repeats_left) == ("queued", 1)
    site.work()
    assert (site.status(job.id), site.job(job.id).repeats_left) == ("finished", 0)
    assert len(site.job(job.id).results()) == 3
    await site.settled()


async def test_front_many_and_unique(site: Site) -> None:
    first, second = site.queue.enqueue_many([Queue.prepare_data("rq_jobs.add", (n,)) for n in range(2)])
    front = site.queue.enqueue("rq_jobs.add", 9, at_front=True, job_id="once", unique=True)
    async with site.opened(JOBQUEUE_LIMITS_PER_USER="1") as queue:
        await queue.register_worker()
        hands = Hands(queue, site.client)
        order = []
        for _ in range(3):
            (taken,) = await hands.take(1)
            order.append(taken)
            await hands.end(taken)
    assert order == ["once", first.id, second.id]
    with pytest.raises(DuplicateJobError):
        site.queue.enqueue("rq_jobs.add", 9, job_id=front.id, unique=True)


async def test_a_job_enqueued_again_under_its_id(site: Site) -> None:
    """RQ merges the new fields into the old record, ours included."""
    for number in range(2):
        site.queue.enqueue("rq_jobs.add", number, job_id="again")
        await site.run_ours("again")
        assert site.job("again").return_value() == number
        await site.settled()
    assert FinishedJobRegistry("default", connection=site.client).get_job_ids() == ["again"]

"""Workers of ours that die or freeze in a job: what RQ's tools and our other workers make of it (checks 17, 18)."""

from __future__ import annotations

import os
import signal

import pytest
import rq
from hands import Hands
from rq.results import Result
from rq_support import Processes, Site, until

from jobqueue import JobQueue
from jobqueue.fsck import fsck

# Both kinds of pickles and JSON in one run: only our workers read them, and a process is dear.
SERIALIZERS = ("json", "pickle")


def enqueue_held(site: Site, **options: object) -> list[str]:
    queues = [site.stock_queue(serializer=name) for name in SERIALIZERS]
    return [queue.enqueue("rq_jobs.hold", str(site.gate), 7, **options).id for queue in queues]


async def run(site: Site, *ids: str) -> None:
    await until(lambda: {site.status(job_id) for job_id in ids} == {"started"}, "all run", 20)


def let_time_pass(site: Site) -> None:
    """RQ's scores of what is running are over."""
    for token in site.scores("rq:wip:default"):
        site.client.zadd("rq:wip:default", {token: 1})


@pytest.fixture
def site(json_site: Site) -> Site:
    return json_site


async def test_17_rq_info_gives_up_the_jobs_of_a_killed_worker(site: Site, processes: Processes) -> None:
    once, retried = enqueue_held(site), enqueue_held(site, retry=rq.Retry(max=1))
    worker = processes.ours(JOBQUEUE_LIMITS_PER_USER="10")
    await run(site, *once, *retried)
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    let_time_pass(site)
    assert site.info()[0] == "queue default 2, 0 executing, 0 finished, 2 failed"
    assert [site.status(job_id) for job_id in once + retried] == ["failed", "failed", "queued", "queued"]
    for job_id in once:
        (result,) = site.job(job_id).results()
        assert result.type == Result.Type.FAILED
        assert "AbandonedJobError" in (result.exc_string or "")
    site.open_gate()
    await site.run_ours(*retried, JOBQUEUE_LIMITS_PER_USER="10")
    # What was given up stays so, although the lease of its execution ends only now.
    await site.settled(5)
    assert [site.status(job_id) for job_id in once + retried] == ["failed", "failed", "finished", "finished"]
    async with site.opened() as queue:
        counts = (await queue.inspector.stats()).counts
        assert (counts["failed"], counts["completed"], counts["running"]) == (2, 2, 0)


@pytest.mark.parametrize("retries", [0, 1])
async def test_17_our_rescue_changes_nothing_about_what_rq_decided(site: Site, retries: int) -> None:
    """RQ's tools were first; the lease of the execution ends later."""
    retry = rq.Retry(max=retries) if retries else None
    job = site.queue.enqueue("rq_jobs.add", 1, retry=retry)
    async with site.opened() as queue:
        await queue.register_worker()
        hands = Hands(queue, site.client)
        await hands.start(job.id)
        let_time_pass(site)
        site.info()
        decided = "queued" if retries else "failed"
        assert site.status(job.id) == decided
        await hands.lose(job.id)
        assert (site.status(job.id), site.listed()) == (decided, [job.id] * retries)
    await site.settled()


async def second_worker_takes_over(site: Site, queue: JobQueue, ids: list[str]) -> None:
    def taken() -> bool:
        return {site.client.hget(f"rq:job:{job_id}", "worker_name") for job_id in ids} == {b"second"}

    await until(taken, "the second worker has the jobs", 15)


@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_18_a_second_worker_of_ours_takes_over_once(site: Site, processes: Processes, how: str) -> None:
    ids = enqueue_held(site)
    worker = processes.ours()
    await run(site, *ids)
    os.kill(worker.pid, signal.SIGKILL if how == "killed" else signal.SIGSTOP)
    async with site.ours("second") as queue:
        await second_worker_takes_over(site, queue, ids)
        site.open_gate()
        await until(lambda: {site.status(job_id) for job_id in ids} == {"finished"}, "they are finished")
        before = {job_id: site.client.hgetall(f"rq:job:{job_id}") for job_id in ids}
        if how == "frozen":
            # It finds the gate open and has results; nobody wants them any more.
            os.kill(worker.pid, signal.SIGCONT)
            os.kill(worker.pid, signal.SIGTERM)
            assert worker.wait(15) == 0
        site.info()
        assert {job_id: site.client.hgetall(f"rq:job:{job_id}") for job_id in ids} == before
    for job_id, name in zip(ids, SERIALIZERS, strict=True):
        (result,) = Site(site.server, site.folder, name).job(job_id).results()
        assert (result.type, result.return_value, result.worker_name) == (Result.Type.SUCCESSFUL, 7, "second")
    await site.settled()


async def test_a_stock_workers_lost_job_is_given_up_by_rq_and_followed_by_us(site: Site, processes: Processes) -> None:
    job = site.queue.enqueue("rq_jobs.hold_still", str(site.gate))
    stock = processes.stock("default")
    await run(site, job.id)
    processes.stop()
    assert stock.poll() is not None
    async with site.ours("second", JOBQUEUE_WORKER_QUEUES="other"):
        let_time_pass(site)
        assert site.info()[0].startswith("queue default 0, 0 executing, 0 finished, 1 failed")
        await until(lambda: fsck(site.client) == [], "our index follows", 2)

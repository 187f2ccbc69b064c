"""What stock producers ask of a job besides: callbacks, a returned Retry, the current job, groups."""

from __future__ import annotations

from pathlib import Path

import pytest
from rq import Queue, Retry
from rq.command import send_stop_job_command
from rq.group import Group
from rq.job import Callback
from rq.results import Result
from rq.scheduler import RQScheduler
from rq_support import Processes, Site, until


def called(site: Site, job_id: str) -> str:
    return (site.client.get(f"called:{job_id}") or b"").decode()


async def test_success_and_failure_callbacks(site: Site) -> None:
    callbacks = {"on_success": Callback("rq_jobs.on_success"), "on_failure": Callback("rq_jobs.on_failure")}
    good = site.queue.enqueue("rq_jobs.add", 1, **callbacks)
    later = site.queue.enqueue("rq_jobs.later", 1, 2, **callbacks)
    bad = site.queue.enqueue("rq_jobs.fail", **callbacks)
    late = site.queue.enqueue("rq_jobs.endless", job_timeout=1, **callbacks)
    await site.run_ours(good.id, later.id, bad.id, late.id)
    assert [called(site, job.id) for job in (good, later, bad)] == ["success 1", "success 3", "failure ValueError no"]
    assert called(site, late.id).startswith("failure")
    await site.settled()


async def test_a_failing_success_callback_fails_the_job(site: Site) -> None:
    job = site.queue.enqueue("rq_jobs.add", 1, on_success=Callback("rq_jobs.on_success_fail"))
    await site.run_ours(job.id)
    assert site.status(job.id) == "failed"
    assert "the callback fails" in (site.job(job.id).latest_result().exc_string or "")
    await site.settled()


async def test_a_retried_failure_calls_back_as_rq_does(site: Site) -> None:
    """RQ calls it only for the last of the attempts."""
    failure = Callback("rq_jobs.on_failure")
    job = site.queue.enqueue("rq_jobs.fail", retry=Retry(max=1, interval=60), on_failure=failure)
    same = site.stock_queue("stock").enqueue("rq_jobs.fail", retry=Retry(max=1, interval=60), on_failure=failure)
    site.work(site.stock_queue("stock"))
    await site.run_ours(job.id)
    assert (site.status(job.id), site.status(same.id)) == ("scheduled", "scheduled")
    assert called(site, job.id) == called(site, same.id)
    await site.settled()


async def test_a_stopped_callback(site: Site) -> None:
    gate, options = str(site.gate), {"on_stopped": Callback("rq_jobs.on_stopped")}
    job = site.queue.enqueue("rq_jobs.hold_and_tell", gate, **options)
    async with site.ours():
        await until(lambda: Path(f"{gate}.seen").exists(), "its code runs")
        await until(lambda: site.client.pubsub_numsub("rq:pubsub:ours")[0][1], "our worker hears commands")
        send_stop_job_command(site.client, job.id)
        await until(lambda: site.status(job.id) == "stopped", "it has stopped")
        await until(lambda: called(site, job.id) == "stopped", "its callback has run")
    await site.settled()


async def test_a_returned_retry(site: Site) -> None:
    job = site.queue.enqueue("rq_jobs.try_again")
    await site.run_ours(job.id)
    found = site.job(job.id)
    assert (found.get_status(), found.number_of_retries) == ("failed", 1)
    assert [result.type for result in reversed(found.results())] == [
        Result.Type.RETRIED,
        Result.Type.MAX_RETRIES_EXCEEDED,
    ]
    await site.settled()


async def test_a_returned_retry_of_which_rq_runs_the_rest(site: Site) -> None:
    job = site.queue.enqueue("rq_jobs.try_again_in", 60)
    await site.run_ours(job.id)
    assert site.status(job.id) == "scheduled"
    site.client.zadd("rq:scheduled:default", {job.id: 1})
    scheduler = RQScheduler([site.queue], connection=site.client, serializer=site.serializer)
    scheduler.acquire_locks()
    scheduler.enqueue_scheduled_jobs()
    scheduler.release_locks()
    site.work()
    assert (site.status(job.id), site.job(job.id).number_of_retries) == ("scheduled", 2)
    await site.settled()


async def test_the_current_job(site: Site) -> None:
    ids = [site.queue.enqueue(f"rq_jobs.{name}").id for name in ("who_am_i", "who_am_i_async")]
    await site.run_ours(*ids)
    for job_id in ids:
        job = site.job(job_id)
        assert (job.return_value(), job.meta) == (job_id, {"step": "half"})


@pytest.mark.process
async def test_the_current_job_in_a_process_that_has_not_met_rq_yet(json_site: Site, json_processes: Processes) -> None:
    job = json_site.queue.enqueue("rq_jobs.who_am_i")
    json_processes.ours()
    await until(lambda: json_site.status(job.id) in ("finished", "failed"), "the first job of this process", 20)
    assert job.return_value() == job.id


async def test_groups(site: Site) -> None:
    group = Group.create(site.client, "g")
    data = [Queue.prepare_data("rq_jobs.add", (n,), result_ttl=ttl) for n, ttl in enumerate((500, 500, 0))]
    jobs = group.enqueue_many(site.queue, data)
    await site.run_ours(*(job.id for job in jobs))
    assert {job.id for job in group.get_jobs()} == {job.id for job in jobs[:2]}
    # The record that was not kept has left its group.
    assert site.client.scard("rq:group:g") == 2
    site.client.delete(*(f"rq:job:{job.id}" for job in jobs[:2]))
    Group.clean_registries(site.client)
    assert Group.all(site.client) == []


IN_PROCESSES = {"JOBQUEUE_WORKER_FUNCTION_MODE": "process"}


async def test_functions_in_processes_have_all_of_this_too(site: Site) -> None:
    callbacks = {"on_success": Callback("rq_jobs.on_success"), "on_failure": Callback("rq_jobs.on_failure")}
    good = site.queue.enqueue("rq_jobs.add", 1, **callbacks)
    bad = site.queue.enqueue("rq_jobs.fail", **callbacks)
    late = site.queue.enqueue("rq_jobs.hold_still", str(site.gate), job_timeout=1, **callbacks)
    again = site.queue.enqueue("rq_jobs.try_again")
    named = site.queue.enqueue("rq_jobs.who_am_i")
    await site.run_ours(good.id, bad.id, late.id, again.id, named.id, **IN_PROCESSES)
    assert [called(site, job.id) for job in (good, bad)] == ["success 1", "failure ValueError no"]
    assert called(site, late.id).startswith("failure TimeoutError")
    assert [result.type for result in reversed(site.job(again.id).results())] == [
        Result.Type.RETRIED,
        Result.Type.MAX_RETRIES_EXCEEDED,
    ]
    assert (site.job(named.id).return_value(), site.job(named.id).meta) == (named.id, {"step": "half"})
    await site.settled()


async def test_a_stop_command_ends_a_process_at_once_and_calls_back(site: Site) -> None:
    job = site.queue.enqueue("rq_jobs.hold_still", str(site.gate), on_stopped=Callback("rq_jobs.on_stopped"))
    async with site.ours(**IN_PROCESSES):
        await until(lambda: Path(f"{site.gate}.seen").exists(), "its code runs")
        await until(lambda: site.client.pubsub_numsub("rq:pubsub:ours")[0][1], "our worker hears commands")
        send_stop_job_command(site.client, job.id)
        await until(lambda: site.status(job.id) == "stopped", "it has stopped", 2)
        assert not site.gate.exists()
        await until(lambda: called(site, job.id) == "stopped", "its callback has run")
    await site.settled()


async def test_a_stop_command_in_the_first_moment_calls_back_too(site: Site) -> None:
    """Before the worker has read what RQ's callbacks are, or knows of the job at all."""
    async with site.ours():
        await until(lambda: site.client.pubsub_numsub("rq:pubsub:ours")[0][1], "our worker hears commands")
        for _ in range(20):
            job = site.queue.enqueue("rq_jobs.hold", str(site.gate), on_stopped=Callback("rq_jobs.on_stopped"))
            await until(lambda job=job: site.status(job.id) == "started", "it was claimed")  # type: ignore[misc]
            send_stop_job_command(site.client, job.id)
            await until(lambda job=job: site.status(job.id) == "stopped", "it has stopped", 3)  # type: ignore[misc]
            await until(lambda job=job: called(site, job.id) == "stopped", "its callback has run")  # type: ignore[misc]
    await site.settled()

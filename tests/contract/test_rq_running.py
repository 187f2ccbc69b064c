"""Our worker while it runs jobs, seen and commanded with RQ's own tools (checks 9 to 16)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import rq
from rq.command import (
    send_kill_horse_command,
    send_shutdown_command,
    send_stop_execution_command,
    send_stop_job_command,
)
from rq.executions import Execution
from rq.registry import FailedJobRegistry
from rq.results import Result
from rq_support import Site, until

EAGER = {"JOBQUEUE_QUEUE_EAGER_EXECUTIONS": "true"}


def enqueue_held(site: Site, count: int = 3, **options: object) -> list[str]:
    return [site.queue.enqueue("rq_jobs.hold", str(site.gate), n, **options).id for n in range(count)]


@asynccontextmanager
async def running(site: Site, count: int = 3, **options: object) -> AsyncIterator[list[str]]:
    """So many jobs run until the gate is opened."""
    ids = enqueue_held(site, count, **options)
    async with site.ours(**EAGER):
        await until(lambda: {site.status(job_id) for job_id in ids} == {"started"}, "all run")
        await listening(site)
        try:
            yield ids
        finally:
            site.open_gate()


async def listening(site: Site) -> None:
    """Commands reach nobody who has not subscribed yet."""
    await until(lambda: site.client.pubsub_numsub("rq:pubsub:ours")[0][1], "our worker hears commands")


def execution_of(site: Site, job_id: str) -> Execution:
    (execution,) = site.job(job_id).get_executions()
    return execution


async def ended(site: Site, *ids: str) -> set[str]:
    await until(lambda: "started" not in {site.status(job_id) for job_id in ids}, "they have ended", 4)
    return {site.status(job_id) for job_id in ids}


async def test_9_10_11_three_jobs_at_once_in_info_and_worker_list(site: Site) -> None:
    async with running(site) as ids:
        # The worker tells its state with its heartbeat.
        await until(lambda: worker_state(site) == "busy", "it is busy", 2)
        queue_line, worker_line, *_ = site.info()
        assert queue_line == "queue default 0, 3 executing, 0 finished, 0 failed"
        assert re.fullmatch(r"worker ours \(\S+ \S* ?\d+\) busy default\. jobs: 0 finished, 0 failed", worker_line)
        (worker,) = rq.Worker.all(connection=site.client)
        assert (worker.name, worker.get_state(), worker.current_execution_count) == ("ours", "busy", 3)
        assert {execution.job_id for execution in worker.get_current_executions()} == set(ids)
        assert worker.queue_names() == ["default"]
        assert worker.birth_date is not None and worker.last_heartbeat is not None
        assert "default: ours (busy)" in site.cli("info", "-R")
        site.open_gate()
        assert await ended(site, *ids) == {"finished"}
        await until(lambda: rq.Worker.all(connection=site.client)[0].get_state() == "idle", "idle again", 3)
        assert [site.job(job_id).return_value() for job_id in ids] == [0, 1, 2]


@pytest.mark.parametrize("how", ["job", "execution"])
async def test_12_a_stop_command_ends_only_that_job(site: Site, how: str) -> None:
    async with running(site) as ids:
        stopped, *others = ids
        if how == "job":
            send_stop_job_command(site.client, stopped)
        else:
            send_stop_execution_command(site.client, stopped, execution_of(site, stopped).id)
        await until(lambda: site.status(stopped) == "stopped", "it has stopped", 3)
        job = site.job(stopped)
        assert FailedJobRegistry("default", connection=site.client).get_job_ids() == [stopped]
        assert [result.type for result in job.results()] == [Result.Type.FAILED]
        assert (job.latest_result().exc_string or "").startswith("Job stopped by user")
        assert {site.status(job_id) for job_id in others} == {"started"}
        site.open_gate()
        assert await ended(site, *others) == {"finished"}
    await site.settled()


async def test_12_a_stopped_job_is_not_retried(site: Site) -> None:
    async with running(site, 1, retry=rq.Retry(max=2)) as (job_id,):
        send_stop_job_command(site.client, job_id)
        await until(lambda: site.status(job_id) == "stopped", "it has stopped", 3)
    await site.settled()


async def test_12_other_peoples_commands_change_nothing(site: Site) -> None:
    """Of a job that this worker does not run, an execution that is over, and nonsense."""
    async with running(site, 1) as (job_id,):
        for command in ("stop-job", "stop-execution", "no-such-command"):
            message = {"command": command, "job_id": "another", "execution_id": "x"}
            rq.command.send_command(site.client, "ours", message.pop("command"), **message)
        send_stop_job_payload(site, job_id)
        await asyncio.sleep(0.2)
        assert site.status(job_id) == "started"
        site.open_gate()
        assert await ended(site, job_id) == {"finished"}


def send_stop_job_payload(site: Site, job_id: str) -> None:
    """An execution of this job that is not the present one."""
    rq.command.send_command(site.client, "ours", "stop-execution", job_id=job_id, execution_id="of-before")
    site.client.publish("rq:pubsub:ours", b"no json")


async def test_13_kill_horse_fails_what_runs_and_retries_what_may(site: Site) -> None:
    retried = site.queue.enqueue("rq_jobs.hold", str(site.gate), retry=rq.Retry(max=1, interval=60)).id
    async with running(site, 2) as ids:
        send_kill_horse_command(site.client, "ours")
        assert await ended(site, *ids) == {"failed"}
        await until(lambda: site.status(retried) == "scheduled", "the one with an attempt left", 3)
        assert site.job(retried).retries_left == 0
        assert [result.type for result in site.job(ids[0]).results()] == [Result.Type.FAILED]
        # The worker lives on.
        following = site.queue.enqueue("rq_jobs.add", 1)
        await until(lambda: following.return_value() == 1, "the next job")
    await site.settled()


async def test_14_shutdown_lets_running_jobs_finish(site: Site) -> None:
    async with running(site, 2) as ids:
        send_shutdown_command(site.client, "ours")
        with pytest.raises(AssertionError, match="did not happen"):
            await until(lambda: site.client.hget("rq:worker:ours", "death"), "it ends before its jobs", 0.3)
        assert {site.status(job_id) for job_id in ids} == {"started"}
        site.open_gate()
        assert await ended(site, *ids) == {"finished"}
        await until(lambda: site.client.hget("rq:worker:ours", "death"), "the death record", 5)
        assert 0 < site.client.ttl("rq:worker:ours") <= 60
        assert site.client.hget("rq:worker:ours", "state") == b"idle"
        assert rq.Worker.all(connection=site.client) == []
        assert site.client.keys("rq:executions:*") + site.client.keys("rq:wip:*") == []
    await site.settled()


async def test_14_a_request_to_shut_down_is_noted_as_rq_does_it(site: Site) -> None:
    async with site.ours():
        await listening(site)
        send_shutdown_command(site.client, "ours")
        await until(lambda: site.client.hget("rq:worker:ours", "death"), "the death record", 5)
    assert site.client.hget("rq:worker:ours", "shutdown_requested_date")


async def test_15_a_suspended_worker_finishes_what_it_has_and_claims_nothing(site: Site) -> None:
    async with running(site, 1) as (job_id,):
        site.cli("suspend")
        waiting = site.queue.enqueue("rq_jobs.add", 1)
        site.open_gate()
        assert await ended(site, job_id) == {"finished"}
        with pytest.raises(AssertionError, match="did not happen"):
            await until(lambda: site.status(waiting.id) != "queued", "it is claimed", 1.5)
        site.cli("resume")
        await until(lambda: site.status(waiting.id) == "finished", "it is claimed", 3)
    await site.settled()


async def test_15_a_suspended_worker_says_so(site: Site) -> None:
    async with site.ours():
        await until(lambda: worker_state(site) == "idle", "it is registered")
        site.cli("suspend")
        await until(lambda: worker_state(site) == "suspended", "suspended", 3)
        site.cli("resume")
        await until(lambda: worker_state(site) == "idle", "idle", 3)


def worker_state(site: Site) -> str:
    return (site.client.hget("rq:worker:ours", "state") or b"").decode()


async def test_15_suspended_for_a_time(site: Site) -> None:
    site.cli("suspend", "--duration", "1")
    waiting = site.queue.enqueue("rq_jobs.add", 1)
    async with site.ours():
        await until(lambda: site.client.exists("rq:suspended") == 0, "the time is over", 3)
        await until(lambda: site.status(waiting.id) == "finished", "it is claimed without a word", 4)


async def test_16_heartbeats_move_scores_and_records_on(site: Site) -> None:
    async with running(site, 1) as (job_id,):
        token = f"{job_id}:{execution_of(site, job_id).id}"
        score = site.scores("rq:wip:default")[token]
        first = await until(lambda: site.job(job_id).last_heartbeat, "the first heartbeat", 3)
        execution = execution_of(site, job_id).last_heartbeat
        worker = rq.Worker.all(connection=site.client)[0].last_heartbeat
        await until(lambda: site.scores("rq:wip:default")[token] > score, "the score grows", 4)
        await until(lambda: site.job(job_id).last_heartbeat > first, "the job's heartbeat grows", 4)
        await until(lambda: execution_of(site, job_id).last_heartbeat > execution, "the execution's grows", 4)
        await until(lambda: rq.Worker.all(connection=site.client)[0].last_heartbeat > worker, "the worker's grows", 4)

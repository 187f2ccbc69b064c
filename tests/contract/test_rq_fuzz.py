"""Whatever our API takes, no record that we write may stop a stock worker (check 31, rule 2 of the data model)."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import ValkeyServer
from hands import Hands
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rq_support import Site

from jobqueue import Completed, Failed, JobQueue, NewJob
from jobqueue.errors import QueueError
from jobqueue.job import PRIORITIES, Outcome

TEXTS = st.text(max_size=20) | st.sampled_from(
    ["", ":", "a:b", "\x1f", "\0", "é" * 300, "\ud800", " ", "%", "user:x", "+"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
JOBS = st.fixed_dictionaries(
    {},
    optional={
        "function": st.sampled_from(["rq_jobs.fail", "rq_jobs.nothing", "rq_jobs.missing", "os", ".", "a.", ""])
        | TEXTS,
        "args": st.lists(VALUES, max_size=3),
        "kwargs": st.dictionaries(st.text(max_size=5), VALUES, max_size=2),
        "job_type": TEXTS,
        "user_id": TEXTS,
        "priority": st.sampled_from(PRIORITIES),
        "due": st.integers(0, 10**17),
        "delay_seconds": st.floats(0, 0.01) | st.floats(0, 1e9),
        "timeout_seconds": st.integers(1, 30 * 86400),
        "max_attempts": st.integers(1, 100),
        "backoff_seconds": st.floats(0, 86400),
        "backoff_max_seconds": st.floats(0, 7 * 86400),
        "result_ttl": st.integers(-1, 10**9),
        "failure_ttl": st.integers(-1, 10**9),
        "on_failure": st.sampled_from(["cancel", "run"]),
        "unique_key": TEXTS,
        "expires_in": st.integers(1, 10**9),
        "schedule_id": TEXTS,
    },
)
INTEGERS = (0, 1, -1, -5, 59, 2**31, 2**40, 2**53, 10**18, 2**63 - 1, 2**63, 10**30)
REALS = (*INTEGERS, 0.5, 1e-9, 1e300, float("inf"), float("nan"))
NUMBERS: dict[str, tuple[float, ...]] = {
    "due": INTEGERS,
    "delay_seconds": REALS,
    "timeout_seconds": INTEGERS,
    "max_attempts": INTEGERS,
    "max_lost_attempts": INTEGERS,
    "backoff_seconds": REALS,
    "backoff_max_seconds": REALS,
    "result_ttl": INTEGERS,
    "failure_ttl": INTEGERS,
    "expires_in": INTEGERS,
}
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
OUTCOMES = st.builds(Completed, VALUES) | st.builds(Failed, WORDS, TEXTS, permanent=st.booleans())
EXAMPLES = settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


async def offer(queue: JobQueue, given: dict[str, Any]) -> str | None:
    """The job's id; None when our API refused it, which is as good."""
    job = replace(NewJob(job_id=str(uuid.uuid4()), function="rq_jobs.echo"), **given)
    try:
        await queue.producer.enqueue(job)
    except (QueueError, ValueError, TypeError):
        return None
    return job.job_id


def judge_worker(site: Site) -> None:
    """A stock worker goes through everything up to a good job at the end, and RQ reads every record."""
    good = site.queue.enqueue("rq_jobs.add", 2, 3)
    site.work()
    assert site.status(good.id) == "finished"
    assert good.return_value() == 5
    assert site.client.llen("rq:queue:default:intermediate") == 0
    for key in site.client.scan_iter("rq:job:*"):
        job_id = key.decode().removeprefix("rq:job:")
        if ":" not in job_id:
            site.job(job_id)
    for queue in ("default",):
        site.cli("info", queue)


async def enqueue_all(site: Site, jobs: list[dict[str, Any]]) -> None:
    async with site.opened() as queue:
        for job in jobs:
            await offer(queue, job)


@EXAMPLES
@given(jobs=st.lists(JOBS, min_size=1, max_size=6))
def test_31_whatever_we_enqueue(rq_server: ValkeyServer, tmp_path: Path, jobs: list[dict[str, Any]]) -> None:
    rq_server.client.flushall()
    site = Site(rq_server, tmp_path)
    asyncio.run(enqueue_all(site, jobs))
    judge_worker(site)


async def end_all(site: Site, outcomes: list[Outcome]) -> list[str]:
    async with site.opened() as queue:
        await queue.register_worker()
        hands = Hands(queue, site.client)
        jobs = [
            NewJob(job_id=str(uuid.uuid4()), function="rq_jobs.nothing", user_id=str(n)) for n in range(len(outcomes))
        ]
        for job, outcome in zip(jobs, outcomes, strict=True):
            job.max_attempts = 2 if isinstance(outcome, Failed) else 1
            job.backoff_seconds = 0
        await hands.add(*jobs)
        await hands.take()
        await hands.end_together({job.job_id: end for job, end in zip(jobs, outcomes, strict=True)})
        for job in jobs[::2]:
            if (await hands.get(job)).state == "failed":
                await queue.producer.restart(job.job_id)
        return [job.job_id for job in jobs]


@EXAMPLES
@given(outcomes=st.lists(OUTCOMES, min_size=1, max_size=6))
def test_31_however_it_ended(rq_server: ValkeyServer, tmp_path: Path, outcomes: list[Outcome]) -> None:
    rq_server.client.flushall()
    site = Site(rq_server, tmp_path)
    ids = asyncio.run(end_all(site, outcomes))
    for job_id in ids:
        job = site.job(job_id)
        job.results()
        if job.get_status() == "failed":
            job.requeue()
    judge_worker(site)
    assert {site.status(job_id) for job_id in ids} == {"finished"}


@EXAMPLES
@given(job_id=TEXTS, parent=TEXTS)
def test_31_ids(rq_server: ValkeyServer, tmp_path: Path, job_id: str, parent: str) -> None:
    rq_server.client.flushall()
    site = Site(rq_server, tmp_path)
    asyncio.run(enqueue_all(site, [{"job_id": job_id}, {"depends_on": [parent]}]))
    judge_worker(site)


def stops_the_worker(site: Site, name: str, value: float) -> bool:
    """Of a job that ends well and one that fails."""
    site.client.flushall()
    extra = {"max_attempts": 3} if name.startswith("backoff") else {}
    jobs = [{"function": function, name: value} for function in ("rq_jobs.nothing", "rq_jobs.fail")]
    asyncio.run(enqueue_all(site, [{**extra, **job} for job in jobs]))
    try:
        judge_worker(site)
    except (AssertionError, ValueError, OverflowError):
        return True
    return False


@pytest.mark.parametrize("name", NUMBERS)
def test_31_numbers_at_their_limits(json_site: Site, name: str) -> None:
    assert [value for value in NUMBERS[name] if stops_the_worker(json_site, name, value)] == []

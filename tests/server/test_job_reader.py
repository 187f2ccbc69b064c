"""Reads of one loop tick travel together, also those of the reason why a job waits."""

from __future__ import annotations

import asyncio

import pytest
from fake_queue import AWAY, FakeQueue

from jobqueue.errors import JobNotFound, QueueUnavailable
from server.job_reader import BATCH, JobReader


async def test_a_waiting_job_that_many_ask_for_is_explained_once(fake: FakeQueue) -> None:
    fake.add("many")
    fake.add("later", "scheduled")
    fake.add("runs", "running")
    fake.add("ended", "completed")
    reader = JobReader(fake)  # type: ignore[arg-type]
    wanted = ["many"] * 1000 + ["later", "runs", "ended"]
    jobs = await asyncio.gather(*map(reader.get_explained, wanted))
    assert [job.job_id for job in jobs] == wanted
    assert sorted(fake.explained) == ["later", "many"]
    assert len(fake.reads) == 1


async def test_jobs_that_do_not_wait_cost_no_further_call(fake: FakeQueue) -> None:
    fake.add("runs", "running")
    fake.add("ended", "failed")
    reader = JobReader(fake)  # type: ignore[arg-type]
    fake.explain = None  # type: ignore[assignment,method-assign]
    for job_id in ("runs", "ended"):
        assert (await reader.get_explained(job_id)).job_id == job_id


async def test_more_than_a_batch(fake: FakeQueue) -> None:
    ids = [f"job-{n}" for n in range(BATCH + 50)]
    for job_id in ids:
        fake.add(job_id)
    reader = JobReader(fake)  # type: ignore[arg-type]
    await asyncio.gather(*map(reader.get_explained, ids))
    assert sorted(fake.explained) == sorted(ids)


async def test_a_failure_reaches_all_who_asked_and_the_next_are_served(fake: FakeQueue) -> None:
    jobs = [fake.add("one"), fake.add("two")]
    reader = JobReader(fake)  # type: ignore[arg-type]
    explain = fake.explain

    async def fail(_jobs: object) -> None:
        raise AWAY

    fake.explain = fail  # type: ignore[method-assign]
    answers = await asyncio.gather(*map(reader.explain, jobs), return_exceptions=True)
    assert [type(answer) for answer in answers] == [QueueUnavailable] * 2
    fake.explain = explain  # type: ignore[method-assign]
    assert await reader.explain(jobs[0]) is jobs[0]
    with pytest.raises(JobNotFound):
        await reader.get_explained("nobody")

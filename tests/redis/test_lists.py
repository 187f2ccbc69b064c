"""Lists of jobs on a real server: order, filters, pages; idempotency keys; many cancels and restarts in one go."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest
from conftest import ValkeyServer

from jobqueue import Cancelled, JobQueue, NewJob
from jobqueue.errors import DuplicateJob, JobNotFound, OnceConflict, WrongState
from jobqueue.keys import STATES


def new(user: str = "ann", job_type: str = "extraction", content: int = 1) -> NewJob:
    return NewJob(job_id=str(uuid.uuid4()), function="a.b", args=[content], user_id=user, job_type=job_type)


async def enqueue(queue: JobQueue, *jobs: NewJob) -> list[str]:
    await queue.producer.enqueue_many(jobs)
    return [job.job_id for job in jobs]


async def all_pages(queue: JobQueue, limit: int, **filters: str) -> list[list[str]]:
    pages: list[list[str]] = []
    cursor = None
    for _ in range(100):
        page = await queue.inspector.page(limit=limit, cursor=cursor, **filters)
        pages.append([job.job_id for job in page.jobs])
        cursor = page.next_cursor
        if cursor is None:
            return pages
    raise AssertionError("the list does not end")


async def test_newest_first_and_each_once_over_pages(queue: JobQueue) -> None:
    ids = await enqueue(queue, *(new(user=f"u{n % 3}") for n in range(25)))
    pages = await all_pages(queue, 10)
    assert [job_id for page in pages for job_id in page] == ids[::-1]
    assert [len(page) for page in pages] == [10, 10, 5]


async def test_a_job_that_comes_while_one_reads_does_not_move_the_pages(queue: JobQueue) -> None:
    ids = await enqueue(queue, *(new() for _ in range(6)))
    first = await queue.inspector.page(limit=3)
    await enqueue(queue, new())
    second = await queue.inspector.page(limit=3, cursor=first.next_cursor)
    assert [job.job_id for job in (*first.jobs, *second.jobs)] == ids[::-1]


async def test_filters(queue: JobQueue) -> None:
    ann, bob, other = new(), new("bob"), replace(new("bob"), job_type="taxonomy_processing")
    await enqueue(queue, ann, bob, other)
    await queue.producer.cancel(bob.job_id)

    async def found(**filters: object) -> list[str]:
        return [job.job_id for job in (await queue.inspector.page(**filters)).jobs]  # type: ignore[arg-type]

    assert await found(user_id="bob") == [other.job_id, bob.job_id]
    assert await found(user_id="bob", states=["pending"]) == [other.job_id]
    assert await found(states=["cancelled"]) == [bob.job_id]
    assert await found(states=["cancelled", "pending"]) == [other.job_id, bob.job_id, ann.job_id]
    assert await found(states=["running"]) == []
    assert await found(job_type="taxonomy_processing") == [other.job_id]
    assert await found(job_type="extraction", user_id="ann", states=STATES) == [ann.job_id]
    assert await found(user_id="nobody") == []


async def test_a_page_looks_at_500_jobs_at_most_and_says_that_more_follow(queue: JobQueue) -> None:
    rare = new(job_type="rare")
    await enqueue(queue, rare, *(new() for _ in range(700)))
    pages = await all_pages(queue, 10, job_type="rare")
    assert pages == [[], [rare.job_id]]


async def test_expired_jobs_are_skipped(queue: JobQueue, valkey: ValkeyServer) -> None:
    ids = await enqueue(queue, *(new() for _ in range(3)))
    await queue.producer.cancel(ids[1])
    valkey.client.delete(f"rq:job:{ids[1]}")
    assert await all_pages(queue, 10) == [[ids[2], ids[0]]]


async def test_once_answers_the_first_job_whatever_the_id(queue: JobQueue, valkey: ValkeyServer) -> None:
    first = await queue.producer.enqueue(new(), once="key 1")
    again = await queue.producer.enqueue(new(), once="key 1")
    assert first.created and not again.created
    assert (again.job_id, again.state) == (first.job_id, "pending")
    assert (await queue.inspector.stats()).counts["pending"] == 1
    key = next(valkey.client.scan_iter("rq:x:once:*"))
    assert 86_000 < valkey.client.ttl(key) <= 86_400


async def test_once_outlives_the_record(queue: JobQueue, valkey: ValkeyServer) -> None:
    first = await queue.producer.enqueue(new(), once="k")
    await queue.producer.cancel(first.job_id)
    await queue.producer.remove(first.job_id)
    assert (await queue.producer.enqueue(new(), once="k")).job_id == first.job_id
    assert (await queue.inspector.stats()).counts["pending"] == 0


async def test_once_with_other_content_is_a_conflict_and_changes_nothing(queue: JobQueue) -> None:
    await queue.producer.enqueue(new(), once="k")
    with pytest.raises(OnceConflict):
        await queue.producer.enqueue(new(content=2), once="k")
    assert (await queue.inspector.stats()).counts["pending"] == 1


async def test_once_is_a_users_own(queue: JobQueue) -> None:
    first = await queue.producer.enqueue(new("ann"), once="k")
    assert (await queue.producer.enqueue(new("bob"), once="k")).job_id != first.job_id


async def test_once_remembers_a_job_that_was_there_before_and_forgets_a_conflict(queue: JobQueue) -> None:
    job = new()
    await queue.producer.enqueue(job)
    assert not (await queue.producer.enqueue(job, once="k")).created
    assert (await queue.producer.enqueue(new(), once="k")).job_id == job.job_id
    with pytest.raises(DuplicateJob):
        await queue.producer.enqueue(replace(job, args=[5]), once="other")
    assert (await queue.producer.enqueue(new(content=7), once="other")).created


async def test_many_are_cancelled_and_restarted_each_by_itself(queue: JobQueue) -> None:
    first, second = await enqueue(queue, new(), new())
    await queue.producer.cancel(second)
    changed, again, unknown = await queue.producer.cancel_many([first, second, "nobody"])
    assert changed == Cancelled(first, True) and again == Cancelled(second, False)
    assert isinstance(unknown, JobNotFound)
    answers = await queue.producer.restart_many([first, first, "nobody"])
    assert answers[0] is None
    assert isinstance(answers[1], WrongState) and answers[1].current == "pending"
    assert isinstance(answers[2], JobNotFound)

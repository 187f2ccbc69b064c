"""Jobs that stock RQ enqueues, run by our worker: outcomes, what is left, times to live, requeues (4 to 8, 29)."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from conftest import ValkeyServer
from rq import Retry
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.job import Dependency
from rq.registry import FailedJobRegistry
from rq.results import Result
from rq_support import Site, until


def enqueue_all(site: Site) -> dict[str, str]:
    queue = site.queue
    jobs = {
        "ok": queue.enqueue("rq_jobs.add", 1, b=2, meta={"note": "kept"}),
        "raises": queue.enqueue("rq_jobs.fail"),
        "async": queue.enqueue("rq_jobs.later", 1, 3),
        "none": queue.enqueue("rq_jobs.nothing"),
        "unserializable": queue.enqueue("rq_jobs.unserializable"),
        "gone": queue.enqueue("rq_jobs.add", 1, result_ttl=0),
        "for_ever": queue.enqueue("rq_jobs.add", 1, result_ttl=-1),
        "retried": queue.enqueue("rq_jobs.fail", retry=Retry(max=2, interval=[30, 60])),
        "bad_path": queue.enqueue("rq_jobs.missing"),
        "slow": queue.enqueue("rq_jobs.endless", job_timeout=1),
        "fails_for_ever": queue.enqueue("rq_jobs.fail", failure_ttl=-1),
    }
    return {name: job.id for name, job in jobs.items()}


@dataclass
class Seen:
    """What was found after the run."""

    ids: dict[str, str]
    ended_at: float = 0
    statuses: dict[str, str] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    types: dict[str, list[Result.Type]] = field(default_factory=dict)
    ttls: dict[str, tuple[int, int]] = field(default_factory=dict)
    failed: dict[str, float] = field(default_factory=dict)
    finished: dict[str, float] = field(default_factory=dict)
    scheduled: dict[str, float] = field(default_factory=dict)
    retries_left: int | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)
    worker: dict[bytes, bytes] = field(default_factory=dict)
    worker_ttl: int = 0


def look(site: Site, ids: dict[str, str]) -> Seen:
    seen = Seen(ids, ended_at=time.time())
    for name, job_id in ids.items():
        seen.statuses[name] = site.status(job_id)
        seen.ttls[name] = (site.client.ttl(f"rq:job:{job_id}"), site.client.ttl(f"rq:results:{job_id}"))
        if seen.statuses[name] != "gone":
            job = site.job(job_id)
            seen.values[name] = job.return_value()
            seen.types[name] = [result.type for result in job.results()]
            seen.errors[name] = (job.latest_result().exc_string or "") if job.latest_result() else ""
    for registry in ("failed", "finished", "scheduled"):
        setattr(seen, registry, site.scores(f"rq:{registry}:default"))
    seen.retries_left = site.job(ids["retried"]).retries_left
    seen.meta = site.job(ids["ok"]).meta
    seen.keys = {key.decode() for key in site.client.scan_iter()}
    seen.worker = site.client.hgetall("rq:worker:ours")
    seen.worker_ttl = site.client.ttl("rq:worker:ours")
    return seen


@pytest.fixture(scope="module", params=["json", "pickle"])
def seen(rq_server: ValkeyServer, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """All of them in one run; each test judges a part."""
    rq_server.client.flushall()
    site = Site(rq_server, Path(tmp_path_factory.mktemp("run")), request.param)
    ids = enqueue_all(site)
    asyncio.run(site.run_ours(*ids.values(), JOBQUEUE_WORKER_CONCURRENCY="11", JOBQUEUE_QUEUE_EAGER_EXECUTIONS="true"))
    found = look(site, ids)
    asyncio.run(site.settled())
    return found


def test_4_each_has_the_outcome_that_rq_would_give_it(seen: Seen) -> None:
    failed = ("raises", "bad_path", "slow", "fails_for_ever")
    expected = dict.fromkeys(seen.ids, "finished") | dict.fromkeys(failed, "failed")
    assert seen.statuses == expected | {"gone": "gone", "retried": "scheduled"}
    assert seen.retries_left == 1
    assert seen.scheduled.keys() == {seen.ids["retried"]}
    assert abs(seen.scheduled[seen.ids["retried"]] - seen.ended_at - 30) < 5
    assert seen.failed.keys() == {seen.ids[name] for name in failed}
    # An exception that is followed by another attempt writes no entry.
    assert seen.types["retried"] == []
    assert all(seen.types[name] == [Result.Type.FAILED] for name in failed)
    assert "ValueError: no" in seen.errors["raises"] and "Traceback" in seen.errors["raises"]


def test_5_values(seen: Seen) -> None:
    assert seen.values["ok"] == 3
    assert seen.values["async"] == 4
    assert seen.values["none"] is None
    assert seen.values["unserializable"] == "Unserializable return value"
    assert seen.values["for_ever"] == 1
    assert seen.types["none"] == [Result.Type.SUCCESSFUL]
    assert seen.meta == {"note": "kept"}


def test_6_nothing_is_left_of_the_run(seen: Seen) -> None:
    left = {key for key in seen.keys if key.startswith(("rq:execution", "rq:wip", "rq:worker:ours:"))}
    assert left == set()
    assert not seen.keys & {"rq:queue:default:intermediate", "rq:queue:default", "rq:workers", "rq:workers:default"}
    assert b"death" in seen.worker
    assert 0 < seen.worker_ttl <= 60
    assert int(seen.worker[b"successful_job_count"]) == 6
    # A retried exception counts, too.
    assert int(seen.worker[b"failed_job_count"]) == 5
    assert float(seen.worker[b"total_working_time"]) >= 1


def test_7_times_to_live(seen: Seen) -> None:
    for name, ttl in {"ok": 500, "async": 500, "raises": 31536000, "slow": 31536000}.items():
        job, results = seen.ttls[name]
        assert ttl - 20 <= job <= ttl and ttl - 20 <= results <= ttl, name
    assert seen.ttls["for_ever"] == (-1, -1)
    assert seen.ttls["fails_for_ever"] == (-1, -1)
    assert seen.finished[seen.ids["for_ever"]] == float("inf")
    assert abs(seen.finished[seen.ids["ok"]] - seen.ended_at - 500) < 20
    assert abs(seen.failed[seen.ids["raises"]] - seen.ended_at - 31536000) < 20


async def test_4_a_job_without_results_ttl_is_gone_at_once(site: Site) -> None:
    job = site.queue.enqueue("rq_jobs.add", 1, result_ttl=0)
    await site.run_ours(job.id)
    with pytest.raises(NoSuchJobError):
        site.job(job.id)
    with pytest.raises(InvalidJobOperation):
        job.get_status()
    assert site.client.keys(f"*{job.id}*") == []


async def test_8_rq_requeues_what_failed_with_us(site: Site) -> None:
    job = site.queue.enqueue("rq_jobs.fail")
    await site.run_ours(job.id)
    FailedJobRegistry("default", connection=site.client, serializer=site.serializer).requeue(job.id)
    again = site.job(job.id)
    assert (again.get_status(), again.started_at, again.ended_at) == ("queued", None, None)
    assert site.listed() == [job.id]
    assert site.scores("rq:failed:default") == {}
    await site.run_ours(job.id)
    assert site.status(job.id) == "failed"
    site.job(job.id).requeue()
    assert (site.status(job.id), site.listed()) == ("queued", [job.id])
    site.work()
    assert [result.type for result in site.job(job.id).results()] == [Result.Type.FAILED] * 3
    await site.settled()


async def test_8_a_job_that_rq_requeued_is_pending_in_our_index_before_anybody_runs_it(site: Site) -> None:
    job = site.queue.enqueue("rq_jobs.fail")
    await site.run_ours(job.id)
    site.job(job.id).requeue()
    await site.settled()


async def test_29_a_dependent_of_a_stock_producer_runs_after_ours_ran_its_parent(site: Site) -> None:
    parent = site.queue.enqueue("rq_jobs.add", 1)
    same = site.queue.enqueue("rq_jobs.add", 2, depends_on=parent)
    other = site.stock_queue("other").enqueue("rq_jobs.add", 3, depends_on=parent)
    assert (site.status(same.id), site.status(other.id)) == ("deferred", "deferred")
    await site.run_ours(parent.id)
    await until(lambda: site.status(other.id) == "queued", "the one in a queue that we do not serve")
    assert site.listed("other") == [other.id]
    assert site.scores("rq:deferred:other") == {}
    await site.run_ours(same.id)
    site.work(site.stock_queue("other"))
    assert [site.job(job_id).return_value() for job_id in (parent.id, same.id, other.id)] == [1, 2, 3]
    await site.settled()


async def test_29_a_failed_parent_lets_go_only_those_who_allow_it(site: Site) -> None:
    parent = site.queue.enqueue("rq_jobs.fail")
    allowed = site.queue.enqueue("rq_jobs.add", 1, depends_on=Dependency([parent], allow_failure=True))
    strict = site.queue.enqueue("rq_jobs.add", 2, depends_on=parent)
    async with site.ours():
        await until(lambda: site.status(allowed.id) == "finished", "the one that allows a failure")
    assert site.status(strict.id) == "deferred"
    await site.settled()

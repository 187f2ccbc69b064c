"""Retention and cleanup on a real server: what goes when, what never goes, and what is put right on the way."""

from __future__ import annotations

import asyncio
import errno
import random
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from conftest import ValkeyServer, eventually, settings_for

from jobqueue import Claimed, Completed, Consumer, Ended, Failed, JobQueue, Lane, NewJob
from jobqueue.cleanup import CleanupReport
from jobqueue.errors import CleanupSuperseded, JobNotFound
from jobqueue.leases import LeaseRenewer

LEASE_US = 60_000_000
HOUR_US = 3_600_000_000

Opener = Callable[..., Awaitable[JobQueue]]


@pytest.fixture
async def opening(valkey: ValkeyServer, tmp_path: Path) -> AsyncIterator[Opener]:
    opened: list[JobQueue] = []

    async def open_queue(name: str = "s1", **environment: str) -> JobQueue:
        variables = {"JOBQUEUE_RETENTION_INTERVAL_SECONDS": "0.000001", **environment}
        queue = await JobQueue.open(settings_for(valkey.url, tmp_path, **variables), name=name)
        opened.append(queue)
        return queue

    yield open_queue
    for queue in opened:
        await queue.close()


@pytest.fixture
async def q(opening: Opener) -> JobQueue:
    return await opening()


async def clean(queue: JobQueue) -> CleanupReport:
    report = await queue.cleanup.run_if_due()
    assert report is not None
    return report


def new(user: str = "ann", *, due: int | None = None, ttl: int = 86400, failure_ttl: int = 7200) -> NewJob:
    return NewJob(
        job_id=str(uuid.uuid4()), function="a.b", user_id=user, due=due, result_ttl=ttl, failure_ttl=failure_ttl
    )


class Hands:
    """A worker that ends what it takes as the test says."""

    def __init__(self, queue: JobQueue, name: str = "w") -> None:
        self.queue = queue
        self.lane = Lane(queue.namespace, name, 0, ("default",), LEASE_US)
        self.consumer = Consumer(queue.namespace, name)
        self.held: dict[str, Claimed] = {}

    async def take(self, want: int = 1) -> list[Claimed]:
        jobs = (await self.lane.advance([], want)).jobs
        self.held |= {job.job_id: job for job in jobs}
        return jobs

    async def end(self, *jobs: Claimed, failed: bool = False) -> None:
        outcome = Failed("ValueError: x", "trace") if failed else Completed({"n": 1})
        assert set(await self.consumer.finish([Ended(job, outcome) for job in jobs])) <= {"ok"}


@asynccontextmanager
async def working(queue: JobQueue) -> AsyncIterator[Hands]:
    worker = await JobQueue.open(queue.settings, name="w")
    await worker.register_worker()
    try:
        yield Hands(worker)
        await worker.presence.remove_worker()
    finally:
        await worker.close()


async def one_of_each(queue: JobQueue, hands: Hands) -> dict[str, str]:
    """Ids by state; all of one user each, so that every limiter and line is in use."""
    ids = {}
    for state in ("completed", "failed", "running"):
        job = new(state)
        await queue.producer.enqueue(job)
        ids[state] = job.job_id
    for taken in await hands.take(3):
        if taken.user_id != "running":
            await hands.end(taken, failed=taken.user_id == "failed")
    for state, due in (("pending", None), ("scheduled", 10**16), ("cancelled", None)):
        job = new(state, due=due)
        await queue.producer.enqueue(job)
        ids[state] = job.job_id
    await queue.producer.cancel(ids["cancelled"])
    return ids


async def states(queue: JobQueue, ids: dict[str, str]) -> dict[str, str]:
    found = await queue.inspector.get_many(list(ids.values()))
    return {name: job.state for name, job in zip(ids, found, strict=True) if job is not None}


def age(valkey: ValkeyServer, job_id: str, seconds: int) -> None:
    """Let a job have ended longer ago; its record only, which is what decides."""
    ended = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime(time.time() - seconds))
    valkey.client.hset(f"rq:job:{job_id}", "ended_at", ended)


def nobody_objects(valkey: ValkeyServer) -> None:
    """Let the time pass in which those who live longer than a cold start would take it back."""
    marked = valkey.client.hget("rq:x:meta", "cold_start")
    if marked is not None:
        valkey.client.hset("rq:x:meta", "cold_start", int(marked) - 15_000_000)


# the cycle


async def test_api_F9_api_K1_one_server_cleans_and_says_when_and_what(opening: Opener) -> None:
    servers = [await opening(f"s{n}") for n in range(5)]
    assert (await servers[0].inspector.stats()).last_cleanup is None
    await servers[0].producer.enqueue(new())
    reports = await asyncio.gather(*(server.cleanup.run_if_due() for server in servers))
    assert sum(report is not None for report in reports) == 1
    stats = await servers[3].inspector.stats()
    assert stats.last_cleanup is not None and stats.server_time - stats.last_cleanup < 5_000_000
    assert stats.cleanup == {
        "cold_removed": 0, "entries_dropped": 0, "repaired": 0, "damaged": 0, "folders_removed": 0,
        "keys_put_aside": 0,
    }  # fmt: skip
    await clean(servers[4])
    later = (await servers[0].inspector.stats()).last_cleanup
    assert later is not None and later > stats.last_cleanup


async def test_api_K1_not_before_the_interval_is_over(opening: Opener) -> None:
    first = await opening("s1", JOBQUEUE_RETENTION_INTERVAL_SECONDS="600")
    second = await opening("s2", JOBQUEUE_RETENTION_INTERVAL_SECONDS="600")
    await clean(first)
    assert await first.cleanup.run_if_due() is None
    assert await second.cleanup.run_if_due() is None


async def test_api_K1_a_clock_that_went_back_does_not_stop_the_cleanup(q: JobQueue, valkey: ValkeyServer) -> None:
    valkey.client.hset("rq:x:meta", mapping={"last_cleanup": 10**17, "cleanup_until": 10**17})
    await clean(q)


async def test_sec_M1_five_servers_at_once_do_no_harm(opening: Opener, valkey: ValkeyServer) -> None:
    servers = [await opening(f"s{n}") for n in range(5)]
    async with working(servers[0]) as hands:
        ids = await one_of_each(servers[0], hands)
        before = await states(servers[0], ids)
        for _ in range(20):
            valkey.client.hdel("rq:x:meta", "cleanup_until")
            await asyncio.gather(*(server.cleanup.run_if_due() for server in servers))
        assert await states(servers[0], ids) == before
        await hands.end(hands.held[ids["running"]])


async def test_sec_M3_a_leader_that_was_frozen_past_its_term_stops(opening: Opener, valkey: ValkeyServer) -> None:
    frozen, other = await opening("s1"), await opening("s2")
    jobs = [new() for _ in range(3)]
    await frozen.producer.enqueue_many(jobs)
    run = frozen.namespace.run
    calls: list[str] = []

    async def freeze_once(name: str, given: object, items: object = ()) -> object:
        calls.append(name)
        if name == "audit" and calls.count("audit") == 1:
            valkey.client.hdel("rq:x:meta", "cleanup_until")
            await clean(other)
        return await run(name, given, items)  # type: ignore[arg-type]

    frozen.namespace.run = freeze_once  # type: ignore[assignment,method-assign]
    assert await frozen.cleanup.run_if_due() is None
    assert calls[-1] == "audit"
    for script in ("audit", "clean_index", "end_cleanup"):
        given = {"term": "1", "hold": 1}
        given |= {"audit": {"ended_before": 0}, "end_cleanup": {"cold_start": "", "report": "{}"}}.get(script, {})
        if script == "clean_index":
            given |= {"key": "k", "kind": "state", "name": "pending", "cursor": "0", "batch": 1, "wanted": "zset"}
        with pytest.raises(CleanupSuperseded):
            await run(script, given)


async def test_a_dead_leader_is_followed_by_another(opening: Opener, valkey: ValkeyServer) -> None:
    dead, other = await opening("s1"), await opening("s2")
    begin = {"server": "s1", "interval": 1, "hold": 2_000_000, "patience": 0}
    assert (await dead.namespace.run("begin_cleanup", begin))[0]
    assert await other.cleanup.run_if_due() is None
    now = int(valkey.client.time()[0]) * 1_000_000
    valkey.client.hset("rq:x:meta", "cleanup_until", now - 1)
    await clean(other)


# what goes and what stays


async def test_api_K2_failed_registry_keeps_only_what_is_failed(q: JobQueue, valkey: ValkeyServer) -> None:
    async with working(q) as hands:
        kept, gone = new(), new()
        await q.producer.enqueue_many([kept, gone])
        await hands.end(*await hands.take(2), failed=True)
    valkey.client.delete(f"rq:job:{gone.job_id}")
    valkey.client.hset("rq:job:stock", mapping={"status": "finished", "origin": "default", "created_at": "2026-01-01"})
    valkey.client.zadd("rq:failed:default", {"stock": 2e9, "never-was": 2e9})
    valkey.client.zadd("rq:finished:default", {"stock": 2e9})
    await clean(q)
    assert valkey.client.zrange("rq:failed:default", 0, -1) == [kept.job_id.encode()]
    assert (await q.inspector.get(kept.job_id)).state == "failed"
    await q.producer.restart(kept.job_id)


async def test_api_K3_api_K10_ended_jobs_are_kept_for_their_time_then_unknown_and_uncounted(
    q: JobQueue, valkey: ValkeyServer
) -> None:
    async with working(q) as hands:
        failed, cancelled = new(), new()
        await q.producer.enqueue_many([failed, cancelled])
        await q.producer.cancel(cancelled.job_id)
        await hands.end(*await hands.take(), failed=True)
    for job in (failed, cancelled):
        assert 7195 <= valkey.client.ttl(f"rq:job:{job.job_id}") <= 7200
        valkey.client.pexpire(f"rq:job:{job.job_id}", 1)
    for job in (failed, cancelled):
        await eventually(_absent(q, job.job_id), "the record expires")
        with pytest.raises(JobNotFound):
            await q.inspector.get(job.job_id)
    assert (await q.inspector.page()).jobs == ()
    await clean(q)
    assert sum((await q.inspector.stats()).counts.values()) == 0


def _absent(queue: JobQueue, job_id: str) -> Callable[[], Awaitable[bool]]:
    async def absent() -> bool:
        return (await queue.inspector.get_many([job_id])) == [None]

    return absent


async def test_api_K4_a_completed_job_is_served_for_a_day_and_leaves_nothing_bulky(
    q: JobQueue, valkey: ValkeyServer
) -> None:
    async with working(q) as hands:
        job = new()
        await q.producer.enqueue(job)
        await hands.end(*await hands.take())
    await clean(q)
    assert (await q.inspector.get(job.job_id, result=True)).result == {"n": 1}
    keys = {key.decode() for key in valkey.client.scan_iter(f"*{job.job_id}*")}
    assert keys == {f"rq:job:{job.job_id}", f"rq:results:{job.job_id}"}
    assert all(86_390 <= valkey.client.ttl(key) <= 86_400 for key in keys)


async def test_api_K5_what_has_not_ended_is_never_removed_whatever_its_age(q: JobQueue, valkey: ValkeyServer) -> None:
    async with working(q) as hands:
        ids = await one_of_each(q, hands)
        for job_id in ids.values():
            valkey.client.hset(f"rq:job:{job_id}", "created_at", "2001-01-01T00:00:00.000000Z")
        valkey.client.hset("rq:x:meta", "cold_start", 9 * 10**15)
        report = await clean(q)
        assert report.cold_removed == 3
        assert set(await states(q, ids)) == {"pending", "scheduled", "running"}
        await hands.end(hands.held[ids["running"]])


async def test_api_K6_a_cold_start_removes_what_ended_over_an_hour_ago(opening: Opener, valkey: ValkeyServer) -> None:
    old = await opening("old")
    async with working(old) as hands:
        ids = await one_of_each(old, hands)
        young = {state: job_id for state, job_id in (await one_of_each(old, hands)).items() if state != "running"}
        for state in ("completed", "failed", "cancelled"):
            age(valkey, ids[state], 3700)
            age(valkey, young[state], 3500)
        await hands.end(hands.held[ids["running"]])
    ids["completed now"] = ids.pop("running")
    fresh = await opening("fresh")
    await fresh.presence.beat_server(host="h", pid=1, rss_mb=1)
    assert (await clean(fresh)).cold_removed == 0, "somebody may still take it back"
    nobody_objects(valkey)
    report = await clean(fresh)
    assert report.cold_removed == 3
    assert set(await states(fresh, ids)) == {"pending", "scheduled", "completed now"}
    assert set(await states(fresh, young)) == {"pending", "scheduled", "completed", "failed", "cancelled"}
    assert (await clean(fresh)).cold_removed == 0


async def test_api_K6_a_rolling_restart_or_a_second_server_removes_nothing(
    opening: Opener, valkey: ValkeyServer
) -> None:
    first = await opening("first")
    await first.presence.beat_server(host="h", pid=1, rss_mb=1)
    nobody_objects(valkey)
    await clean(first)
    async with working(first) as hands:
        ids = await one_of_each(first, hands)
        await hands.end(hands.held[ids["running"]])
    for job_id in ids.values():
        age(valkey, job_id, 3700)
    second = await opening("second")
    await second.presence.beat_server(host="h", pid=2, rss_mb=1)
    assert (await clean(second)).cold_removed == 0
    await first.presence.remove_server()
    third = await opening("third")
    await third.presence.beat_server(host="h", pid=3, rss_mb=1)
    nobody_objects(valkey)
    assert (await clean(third)).cold_removed == 0


async def test_api_K6_the_first_server_consumes_the_cold_start_of_a_worker(
    opening: Opener, valkey: ValkeyServer
) -> None:
    queue = await opening("s1")
    job = new()
    await queue.producer.enqueue(job)
    await queue.producer.cancel(job.job_id)
    age(valkey, job.job_id, 3700)
    async with working(queue):
        await queue.presence.beat_server(host="h", pid=1, rss_mb=1)
        nobody_objects(valkey)
        assert (await clean(queue)).cold_removed == 1


@pytest.mark.parametrize("who", ["server", "worker"])
async def test_api_K6_K4_an_outage_of_redis_is_no_cold_start(opening: Opener, valkey: ValkeyServer, who: str) -> None:
    """All beats are old after it, and somebody who was started meanwhile speaks first."""
    old = await opening("old")
    renewer = LeaseRenewer(valkey.url, old.namespace.keys, "old", lease_us=LEASE_US, timeout=5)

    async def beat() -> None:
        if who == "server":
            await old.presence.beat_server(host="h", pid=1, rss_mb=1)
        else:
            renewer.renew([], state="idle", rss_mb=1)

    if who == "worker":
        await old.register_worker()
    await beat()
    job = new()
    await old.producer.enqueue(job)
    await old.producer.cancel(job.job_id)
    age(valkey, job.job_id, 3700)
    long_ago = int(valkey.client.time()[0] - 61) * 1_000_000
    valkey.client.zadd("rq:x:servers", {"old": long_ago}, xx=True)
    if who == "worker":
        valkey.client.hset("rq:x:worker:old", "beat", long_ago)
    fresh = await opening("fresh")
    await fresh.presence.beat_server(host="h", pid=2, rss_mb=1)
    assert valkey.client.hget("rq:x:meta", "cold_start") is not None
    await beat()
    assert valkey.client.hget("rq:x:meta", "cold_start") is None
    nobody_objects(valkey)
    assert (await clean(fresh)).cold_removed == 0
    assert (await fresh.inspector.get(job.job_id)).state == "cancelled"
    renewer.close()


async def test_api_K6_can_be_switched_off(opening: Opener, valkey: ValkeyServer) -> None:
    queue = await opening("s1", JOBQUEUE_RETENTION_COLD_START_SECONDS="0")
    job = new()
    await queue.producer.enqueue(job)
    await queue.producer.cancel(job.job_id)
    age(valkey, job.job_id, 10**6)
    await queue.presence.beat_server(host="h", pid=1, rss_mb=1)
    nobody_objects(valkey)
    assert (await clean(queue)).cold_removed == 0


async def test_api_K6_stock_jobs_keep_their_own_time(q: JobQueue, valkey: ValkeyServer) -> None:
    valkey.client.hset(
        "rq:job:stock", mapping={"status": "finished", "origin": "default", "ended_at": "2020-01-01T00:00:00.000000Z"}
    )
    valkey.client.zadd("rq:finished:default", {"stock": 2e9})
    await q.presence.beat_server(host="h", pid=1, rss_mb=1)
    nobody_objects(valkey)
    assert (await clean(q)).cold_removed == 0
    assert (await q.inspector.get("stock")).state == "completed"


async def test_api_K7_a_lock_that_is_renewed_stays_and_an_orphaned_one_goes(q: JobQueue, valkey: ValkeyServer) -> None:
    async with working(q) as hands:
        job = new()
        await q.producer.enqueue(job)
        (held,) = await hands.take()
        # As if it ran for 70 hours: everything about it is old but the lease.
        old = int(valkey.client.time()[0]) - 70 * 3600
        run = valkey.client.hget(f"rq:job:{job.job_id}", "x_run")
        assert run is not None
        valkey.client.hset(f"rq:job:{job.job_id}", "x_run", run.replace(str(held.fence).encode(), b"%d000000" % old))
        valkey.client.sadd("rq:x:live:ann", "gone:dead")
        valkey.client.zadd("rq:wip:default", {"gone:dead": 2e9})
        await clean(q)
        assert valkey.client.smembers("rq:x:live:ann") == {held.token.encode()}
        assert valkey.client.zrange("rq:wip:default", 0, -1) == [held.token.encode()]
        assert valkey.client.zscore("rq:x:leases", held.token) is not None
        await hands.end(held)


async def test_api_K8_memory_and_keys_return_to_base_after_10000_jobs(q: JobQueue, valkey: ValkeyServer) -> None:
    async def round_of(jobs: int) -> None:
        async with working(q) as hands:
            for _ in range(jobs // 500):
                batch = [new(f"u{n % 50}", ttl=1, failure_ttl=1) for n in range(500)]
                await q.producer.enqueue_many(batch)
                await asyncio.gather(*(q.producer.cancel(job.job_id) for job in batch[:50]))
                for _ in range(500):
                    taken = await hands.take(10)
                    if not taken:
                        break
                    await hands.end(*taken[:2], failed=True)
                    await hands.end(*taken[2:])

        async def expired() -> bool:
            return not any(valkey.client.scan_iter("rq:job:*", count=10_000))

        for key in valkey.client.scan_iter("rq:job:*", count=10_000):
            valkey.client.expire(key, 1, lt=True)
        await eventually(expired, "all records expire")
        await clean(q)

    await round_of(500)
    keys = sorted(valkey.client.keys("*"))
    memory = valkey.client.info("memory")["used_memory"]
    await round_of(10_000)
    assert sorted(valkey.client.keys("*")) == keys
    assert valkey.client.info("memory")["used_memory"] < memory * 1.1


async def test_api_K8_removal_takes_every_key_of_a_job(q: JobQueue, valkey: ValkeyServer) -> None:
    async with working(q) as hands:
        job = new()
        await q.producer.enqueue(job)
        await hands.end(*await hands.take())
    valkey.client.sadd(f"rq:job:{job.job_id}:dependents", "x")
    await q.producer.remove(job.job_id)
    assert not [key for key in valkey.client.keys("*") if job.job_id.encode() in key]
    for key in valkey.client.keys("*"):
        if valkey.client.type(key) == b"zset":
            assert valkey.client.zscore(key, job.job_id) is None


async def test_api_K9_a_job_restarted_while_the_cleanup_looks_at_it_survives(q: JobQueue, valkey: ValkeyServer) -> None:
    job = new()
    await q.producer.enqueue(job)
    await q.producer.cancel(job.job_id)
    age(valkey, job.job_id, 3700)
    await q.presence.beat_server(host="h", pid=1, rss_mb=1)
    nobody_objects(valkey)
    run = q.namespace.run

    async def restart_before_audit(name: str, given: object, items: object = ()) -> object:
        if name == "audit":
            await q.producer.restart(job.job_id)
        return await run(name, given, items)  # type: ignore[arg-type]

    q.namespace.run = restart_before_audit  # type: ignore[assignment,method-assign]
    assert (await clean(q)).cold_removed == 0
    assert (await q.inspector.get(job.job_id)).state == "pending"


async def test_a_cancelled_job_that_still_stops_is_not_removed(q: JobQueue, valkey: ValkeyServer) -> None:
    async with working(q) as hands:
        job = new()
        await q.producer.enqueue(job)
        (held,) = await hands.take()
        await q.producer.cancel(job.job_id)
        age(valkey, job.job_id, 3700)
        valkey.client.hset("rq:x:meta", "cold_start", 9 * 10**15)
        assert (await clean(q)).cold_removed == 0
        assert await hands.consumer.finish([Ended(held, Completed(1))]) == ["cancelled"]


# files


def folder_of(queue: JobQueue, job_id: str) -> Path:
    folder = queue.settings.storage.jobs_dir / job_id
    folder.mkdir(parents=True)
    (folder / "chunks.jsonl").write_text("{}")
    return folder


async def test_api_K8_files_go_with_the_record(q: JobQueue, valkey: ValkeyServer) -> None:
    kept, gone = new(), new()
    await q.producer.enqueue_many([kept, gone])
    folders = [folder_of(q, job.job_id) for job in (kept, gone)]
    other = q.settings.storage.jobs_dir / "not a job"
    other.mkdir()
    assert (await clean(q)).folders_removed == 0
    await q.producer.cancel(gone.job_id)
    valkey.client.delete(f"rq:job:{gone.job_id}")
    assert (await clean(q)).folders_removed == 1
    assert [folder.exists() for folder in folders] == [True, False]
    assert other.exists()


async def test_files_are_left_alone_when_redis_was_emptied(
    opening: Opener, valkey: ValkeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    queue = await opening()
    job = new()
    await queue.producer.enqueue(job)
    folder = folder_of(queue, job.job_id)
    await clean(queue)
    valkey.client.flushall()
    again = await opening("s2")
    assert (await clean(again)).folders_removed == 0
    assert folder.exists()
    assert "belongs to other data than Redis holds" in caplog.text


async def test_files_that_nobody_has_claimed_are_left_to_a_redis_that_knows_one_of_them(
    opening: Opener, valkey: ValkeyServer
) -> None:
    """Redis was emptied, or exchanged, before the first cleanup."""
    queue = await opening()
    orphan = folder_of(queue, "aaa")
    assert (await clean(queue)).folders_removed == 0
    assert orphan.exists()
    job = new()
    await queue.producer.enqueue(job)
    folder = folder_of(queue, job.job_id)
    assert (await clean(queue)).folders_removed == 1
    assert folder.exists() and not orphan.exists()


@pytest.mark.parametrize("moment", ["draft", "replace"])
async def test_a_full_disk_ends_neither_the_cleanup_nor_the_removal_of_files(
    q: JobQueue, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, moment: str
) -> None:
    job = new()
    await q.producer.enqueue(job)
    folder_of(q, job.job_id)
    orphan = folder_of(q, "aaa")
    refused = {"draft": "write_text", "replace": "replace"}[moment]

    def refuse(path: Path, *rest: object) -> None:
        if moment == "draft":
            path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(Path, refused, refuse)
        assert (await clean(q)).folders_removed == 0
    assert "No space left" in caplog.text
    assert (await q.inspector.stats()).last_cleanup is not None
    assert (await clean(q)).folders_removed == 1
    assert not orphan.exists()


async def test_an_empty_owner_file_is_none(q: JobQueue) -> None:
    job = new()
    await q.producer.enqueue(job)
    folder = folder_of(q, job.job_id)
    orphan = folder_of(q, "aaa")
    (folder.parent / ".namespace").touch()
    assert (await clean(q)).folders_removed == 1
    assert not orphan.exists()


async def test_api_K8_what_stock_tools_keep_beside_a_record_goes_with_it(q: JobQueue, valkey: ValkeyServer) -> None:
    """An expired record takes nothing along by itself."""
    gone, kept = new(), new()
    await q.producer.enqueue_many([gone, kept])
    for job in (gone, kept):
        valkey.client.sadd(f"rq:job:{job.job_id}:dependents", "x")
        valkey.client.sadd(f"rq:job::{job.job_id}:dependencies", "x")
        valkey.client.xadd(f"rq:results:{job.job_id}", {"type": "2"})
    await q.producer.cancel(gone.job_id)
    valkey.client.delete(f"rq:job:{gone.job_id}")
    await clean(q)
    assert not [key for key in valkey.client.keys("*") if gone.job_id.encode() in key]
    assert len([key for key in valkey.client.keys("*") if kept.job_id.encode() in key]) == 4


async def test_a_due_job_whose_queue_was_forgotten_is_promoted(q: JobQueue, valkey: ValkeyServer) -> None:
    job = new(due=10**16)
    await q.producer.enqueue(job)
    valkey.client.delete("rq:queues")
    await clean(q)
    valkey.client.zadd("rq:scheduled:default", {job.job_id: 1}, xx=True)
    await q.maintenance.tick()
    assert (await q.inspector.get(job.job_id)).state == "pending"


async def test_what_a_dead_stock_worker_had_on_the_way_is_put_back(q: JobQueue, valkey: ValkeyServer) -> None:
    job = new()
    await q.producer.enqueue(job)
    valkey.client.lmove("rq:queue:default", "rq:queue:default:intermediate")
    await q.control.set_limits(total=1, per_user=1)
    valkey.client.sadd("rq:workers", "rq:worker:stock")
    valkey.client.hset("rq:worker:stock", "queues", "default")
    await clean(q)
    assert valkey.client.llen("rq:queue:default") == 0, "a stock worker lives: it may be about to start it"
    valkey.client.delete("rq:worker:stock")
    valkey.client.srem("rq:workers", "rq:worker:stock")
    await clean(q)
    assert valkey.client.llen("rq:queue:default:intermediate") == 0
    async with working(q) as hands:
        assert [taken.job_id for taken in await hands.take()] == [job.job_id]
        await hands.end(*hands.held.values())


async def test_a_folder_that_cannot_be_removed_does_not_keep_the_others(
    q: JobQueue, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from jobqueue import job_folders

    job = new()
    await q.producer.enqueue(job)
    folder_of(q, job.job_id)
    first, second = folder_of(q, "aaa"), folder_of(q, "bbb")
    remove = job_folders.shutil.rmtree

    def refuse(path: Path) -> None:
        if path == first:
            raise PermissionError("no")
        remove(path)

    monkeypatch.setattr(job_folders.shutil, "rmtree", refuse)
    assert (await clean(q)).folders_removed == 1
    assert first.exists() and not second.exists()
    assert "cannot be removed" in caplog.text


# putting right


async def test_api_F4_sec_S6_after_any_loss_of_index_entries_counts_equal_a_recount(
    q: JobQueue, valkey: ValkeyServer
) -> None:
    """fsck, run by the fixture, is the recount."""
    rng = random.Random(7)
    async with working(q) as hands:
        for _ in range(8):
            ids = await one_of_each(q, hands)
            indexes = [
                key
                for pattern in ("x:state:*", "x:user:*", "x:live:*", "x:parked:*", "rl:*", "wip:*", "failed:*",
                    "finished:*", "canceled:*", "scheduled:*", "queue:*", "queues", "rl-keys")
                for key in valkey.client.keys(f"rq:{pattern}")
            ]  # fmt: skip
            for key in rng.sample(sorted(indexes), 6):
                valkey.client.delete(key)
            await clean(q)
            for _ in range(3):
                await clean(q)
            counts = (await q.inspector.stats()).counts
            found = await q.inspector.page(limit=500)
            recount = {state: sum(job.state == state for job in found.jobs) for state in counts}
            assert counts == recount
            await q.producer.cancel(ids["pending"])
            await hands.end(hands.held[ids["running"]])
        assert (await clean(q)).repaired == 0


async def test_sec_S6_a_running_job_without_a_lease_is_rescued(q: JobQueue, valkey: ValkeyServer) -> None:
    async with working(q) as hands:
        job = new()
        await q.producer.enqueue(job)
        (held,) = await hands.take()
        valkey.client.delete("rq:x:leases", "rq:x:live:ann")
        assert (await clean(q)).repaired == 1
        rescue = {"interval": 0, "lease": LEASE_US, "batch": 10, "tick": 10**9}
        valkey.client.hset("rq:x:meta", "rescue_after", 0)
        await q.namespace.run("rescue", rescue)
        valkey.client.hset("rq:x:meta", "rescue_after", 0)
        await q.namespace.run("rescue", rescue)
        assert (await q.inspector.get(job.job_id)).state == "pending"
        assert await hands.consumer.finish([Ended(held, Completed(1))]) == ["stale"]


async def test_sec_S6_queued_jobs_whose_list_was_lost_run(q: JobQueue, valkey: ValkeyServer) -> None:
    jobs = [new() for _ in range(5)]
    await q.producer.enqueue_many(jobs)
    valkey.client.delete("rq:queue:default")
    await clean(q)
    async with working(q) as hands:
        done: set[str] = set()
        for _ in range(5):
            taken = await hands.take(3)
            await hands.end(*taken)
            done |= {job.job_id for job in taken}
        assert done == {job.job_id for job in jobs}


async def test_sec_S6_a_parked_job_whose_user_was_forgotten_comes_back(q: JobQueue, valkey: ValkeyServer) -> None:
    job = new()
    await q.producer.enqueue(job)
    valkey.client.delete("rq:queue:default")
    valkey.client.zadd("rq:x:parked:ann", {job.job_id: 1})
    assert (await clean(q)).repaired == 1
    await q.namespace.run("sweep", {"interval": 0, "cursor": "0", "batch": 50})
    assert valkey.client.lrange("rq:queue:default", 0, -1) == [job.job_id.encode()]


async def test_a_job_in_the_hands_of_a_stock_worker_is_not_queued_again(q: JobQueue, valkey: ValkeyServer) -> None:
    """RQ's worker takes the id off the list first and marks the record a moment later."""
    await q.producer.enqueue(new())
    valkey.client.sadd("rq:workers", "rq:worker:stock")
    valkey.client.hset("rq:worker:stock", "queues", "default")
    taken = valkey.client.lpop("rq:queue:default")
    await clean(q)
    assert valkey.client.llen("rq:queue:default") == 0
    valkey.client.zadd("rq:x:missing", {taken: 1})
    await clean(q)
    assert valkey.client.lrange("rq:queue:default", 0, -1) == [taken]


async def test_a_record_that_would_not_expire_or_would_too_early_is_put_right(
    q: JobQueue, valkey: ValkeyServer
) -> None:
    ended, waiting = new(), new()
    await q.producer.enqueue_many([ended, waiting])
    await q.producer.cancel(ended.job_id)
    valkey.client.persist(f"rq:job:{ended.job_id}")
    valkey.client.expire(f"rq:job:{waiting.job_id}", 100)
    assert (await clean(q)).repaired == 2
    assert 7000 < valkey.client.ttl(f"rq:job:{ended.job_id}") <= 7200
    assert valkey.client.ttl(f"rq:job:{waiting.job_id}") == -1


async def test_stock_jobs_join_the_counts_however_many(q: JobQueue, valkey: ValkeyServer) -> None:
    for n in range(300):
        job = {"status": "queued", "origin": "default", "created_at": "2026-01-01T00:00:00.000000Z", "data": "[]"}
        valkey.client.hset(f"rq:job:stock-{n}", mapping=job)
        valkey.client.rpush("rq:queue:default", f"stock-{n}")
    valkey.client.sadd("rq:queues", "rq:queue:default")
    await clean(q)
    assert (await q.inspector.stats()).counts["pending"] == 300


async def test_what_a_stock_worker_did_is_told_and_is_no_disorder(q: JobQueue, valkey: ValkeyServer) -> None:
    job = {"status": "queued", "origin": "default", "created_at": "2026-01-01T00:00:00.000000Z", "data": "[]"}
    valkey.client.hset("rq:job:stock", mapping=job)
    valkey.client.rpush("rq:queue:default", "stock")
    valkey.client.sadd("rq:queues", "rq:queue:default")
    await q.namespace.run("sweep", {"interval": 0, "cursor": "0", "batch": 50})
    valkey.client.lpop("rq:queue:default")
    valkey.client.hset("rq:job:stock", "status", "finished")
    valkey.client.zadd("rq:finished:default", {"stock": time.time() + 500})
    before = int(valkey.client.hget("rq:x:meta", "n") or 0)
    assert (await clean(q)).repaired == 0
    job_seen = await q.inspector.get("stock")
    assert job_seen.announced and job_seen.seq == before + 1
    assert (await q.inspector.stats()).counts["completed"] == 1


async def test_sec_M2_one_bad_record_never_stops_it(q: JobQueue, valkey: ValkeyServer) -> None:
    rng = random.Random(11)
    good, lost = new(), new()
    await q.producer.enqueue_many([good, lost])
    fields = ("status", "x_core", "x_run", "x_mark", "ended_at", "origin", "x_due", "x_order", "x_retry", "ttl")
    for n in range(200):
        base = valkey.client.hgetall(f"rq:job:{good.job_id}")
        valkey.client.hset(f"rq:job:bad-{n}", mapping=base)
        for field in rng.sample(fields, 3):
            nonsense = rng.choice(
                [b"", b"\xff\x00", b"nan", b"1e999", b"started", b"finished", b"\x1f" * 11, b"a" * 999]
            )
            valkey.client.hset(f"rq:job:bad-{n}", field, nonsense)
    for n, value in enumerate(("text", "list")):
        valkey.client.set(f"rq:job:wrong-{n}", value)
    valkey.client.set("rq:x:state:nonsense", "1")
    valkey.client.set("rq:finished:nonsense", "1")
    valkey.client.zadd("rq:x:state:pending", {"wrong-0": 1, "never": 2})
    valkey.client.delete("rq:x:user:ann")
    valkey.client.delete(f"rq:job:{lost.job_id}")
    await clean(q)
    assert valkey.client.zscore("rq:x:user:ann", good.job_id) is not None
    assert valkey.client.zscore("rq:x:user:ann", lost.job_id) is None
    assert valkey.client.zscore("rq:x:state:pending", "never") is None
    assert b"wrong-0" in valkey.client.smembers("rq:x:damaged")
    valkey.client.flushall()


# registrations


async def test_api_J1_silent_workers_leave_every_registry(q: JobQueue, valkey: ValkeyServer) -> None:
    async with working(q):
        valkey.client.hset("rq:x:worker:w", "beat", 1)
        assert await q.maintenance.check_workers() == 1
        for key in ("rq:workers", "rq:workers:default"):
            assert valkey.client.smembers(key) == set()
        assert valkey.client.ttl("rq:worker:w") <= 60

"""Records that somebody else has damaged: they are set aside, and nobody else's job is touched by it."""

from __future__ import annotations

import base64
import pickle
import uuid
from dataclasses import replace

import pytest
import rq
from conftest import ValkeyServer, eventually

from jobqueue import Claimed, Completed, Ended, Failed, JobChange, JobQueue, Lane, NewJob, rq_format
from jobqueue.errors import DuplicateJob, UnknownWorker
from jobqueue.fsck import fsck
from jobqueue.leases import LOST, RENEWED, Holding, LeaseRenewer

LEASE_US = 60_000_000


def new(user: str, due: int | None = None) -> NewJob:
    return NewJob(job_id=str(uuid.uuid4()), function="a.b", user_id=user, due=due)


@pytest.fixture
async def lane(queue: JobQueue) -> Lane:
    await queue.register_worker()
    return Lane(queue.namespace, "test", 0, ("default",), LEASE_US)


async def claimed(queue: JobQueue, lane: Lane, *users: str) -> dict[str, Claimed]:
    await queue.producer.enqueue_many([new(user) for user in users])
    return {job.user_id: job for job in (await lane.advance([], len(users))).jobs}


@pytest.mark.parametrize("outcome", [Completed("x"), Failed("ValueError: x", "trace")], ids=["completed", "failed"])
async def test_a_key_of_another_type_in_place_of_the_results_is_replaced(
    queue: JobQueue, lane: Lane, valkey: ValkeyServer, outcome: Completed | Failed
) -> None:
    jobs = await claimed(queue, lane, "ann", "bob", "cat")
    valkey.client.set(f"rq:results:{jobs['bob'].job_id}", "nonsense")
    batch = await lane.advance([Ended(job, outcome) for job in jobs.values()], 0)
    assert batch.verdicts == ["ok"] * 3
    for job in jobs.values():
        found = await queue.inspector.get(job.job_id, result=True)
        assert found.state == ("completed" if isinstance(outcome, Completed) else "failed")
        assert found.result == ("x" if isinstance(outcome, Completed) else None)


@pytest.mark.parametrize("field", ["result_ttl", "failure_ttl"])
async def test_a_stock_job_that_is_to_be_kept_for_longer_than_redis_counts_is_kept(
    queue: JobQueue, lane: Lane, valkey: ValkeyServer, field: str
) -> None:
    made = rq.Queue("default", connection=valkey.client).enqueue("math.hypot", 3, 4, **{field: 10**17})
    jobs = await claimed(queue, lane, "ann", "bob")
    batch = await lane.advance([], 5)
    ended = [*jobs.values(), *batch.jobs]
    outcome = Completed(1) if field == "result_ttl" else Failed("ValueError: x")
    assert (await lane.advance([Ended(job, outcome) for job in ended], 0)).verdicts == ["ok"] * 3
    assert valkey.client.ttl(f"rq:job:{made.id}") == -1
    assert {job.state for job in await queue.inspector.get_many([job.job_id for job in ended])} == {
        "completed" if field == "result_ttl" else "failed"
    }


@pytest.mark.parametrize("field", ["x_core", "x_run"])
async def test_a_damaged_record_is_not_claimed_and_keeps_nobody_waiting(
    queue: JobQueue, lane: Lane, valkey: ValkeyServer, field: str
) -> None:
    jobs = [new("ann"), new("bob"), new("cat")]
    await queue.producer.enqueue_many(jobs)
    valkey.client.hset(f"rq:job:{jobs[1].job_id}", field, "nonsense")
    batch = await lane.advance([], 5)
    assert [job.user_id for job in batch.jobs] == ["ann", "cat"]
    assert valkey.client.smembers("rq:x:damaged") == {jobs[1].job_id.encode()}
    assert (await lane.advance([Ended(job, Completed(1)) for job in batch.jobs], 1)).verdicts == ["ok"] * 2
    valkey.client.delete(f"rq:job:{jobs[1].job_id}")
    await queue.cleanup.run_if_due()


async def test_an_id_that_is_none_is_not_claimed(queue: JobQueue, lane: Lane, valkey: ValkeyServer) -> None:
    good = new("ann")
    for job_id in (b"\xff\xfe", b"a b", b"a:b"):
        valkey.client.hset(b"rq:job:" + job_id, mapping={"status": "queued", "origin": "default", "data": "x"})
        valkey.client.rpush("rq:queue:default", job_id)
    await queue.producer.enqueue(good)
    (taken,) = (await lane.advance([], 5)).jobs
    assert taken.job_id == good.job_id
    assert valkey.client.smembers("rq:x:damaged") == {b"\xff\xfe", b"a b", b"a:b"}
    await lane.advance([Ended(taken, Completed(1))], 0)
    assert sum("no job may have this id" in problem for problem in fsck(valkey.client)) == 3
    for job_id in (b"\xff\xfe", b"a b", b"a:b"):
        valkey.client.delete(b"rq:job:" + job_id)


async def test_a_key_of_another_type_under_an_id_is_a_conflict(queue: JobQueue, valkey: ValkeyServer) -> None:
    jobs = [new("ann"), new("bob"), new("cat")]
    valkey.client.set(f"rq:job:{jobs[1].job_id}", "nonsense")
    answers = await queue.producer.enqueue_many(jobs)
    assert isinstance(answers[1], DuplicateJob)
    assert [getattr(answer, "created", None) for answer in answers] == [True, None, True]
    assert (await queue.inspector.stats()).counts["pending"] == 2
    valkey.client.delete(f"rq:job:{jobs[1].job_id}")


async def test_a_heartbeat_survives_a_key_of_another_type(queue: JobQueue, lane: Lane, valkey: ValkeyServer) -> None:
    jobs = await claimed(queue, lane, "ann", "bob")
    valkey.client.delete(f"rq:job:{jobs['ann'].job_id}")
    valkey.client.set(f"rq:job:{jobs['ann'].job_id}", "nonsense")
    renewer = LeaseRenewer(valkey.url, queue.namespace.keys, "test", lease_us=LEASE_US, timeout=5)
    holdings = [Holding(job.job_id, job.execution_id, records=True) for job in jobs.values()]
    assert renewer.renew(holdings, state="busy", rss_mb=1).leases == [LOST, RENEWED]
    renewer.close()
    valkey.client.delete(f"rq:job:{jobs['ann'].job_id}")
    verdicts = (await lane.advance([Ended(job, Completed(1)) for job in jobs.values()], 0)).verdicts
    assert verdicts == ["stale", "ok"]


async def test_records_deleted_while_they_ran_give_their_places_back(
    queue: JobQueue, lane: Lane, valkey: ValkeyServer
) -> None:
    jobs = await claimed(queue, lane, "ann", "ann", "ann", "bob")
    held = [token.decode().split(":") for token in valkey.client.zrange("rq:x:leases", 0, -1)]
    for job_id, _ in held:
        valkey.client.delete(f"rq:job:{job_id}")
    await queue.producer.enqueue_many([new("ann"), new("bob")])
    ended = [
        Ended(replace(jobs["ann"], job_id=job_id, execution_id=execution), Completed(1)) for job_id, execution in held
    ]
    batch = await lane.advance(ended, 5)
    assert batch.verdicts == ["stale"] * 4
    assert sorted(job.user_id for job in batch.jobs) == ["ann", "bob"]
    await lane.advance([Ended(job, Completed(1)) for job in batch.jobs], 0)


async def test_a_job_that_a_stock_tool_put_back_is_counted_and_listed_once(
    queue: JobQueue, lane: Lane, valkey: ValkeyServer
) -> None:
    jobs = await claimed(queue, lane, "ann")
    await lane.advance([Ended(jobs["ann"], Failed("ValueError: x"))], 0)
    rq.registry.FailedJobRegistry("default", connection=valkey.client).requeue(jobs["ann"].job_id)
    assert len((await queue.inspector.page()).jobs) == 1
    (again,) = (await lane.advance([], 1)).jobs
    counts = (await queue.inspector.stats()).counts
    assert (counts["running"], sum(counts.values())) == (1, 1)
    assert valkey.client.ttl(f"rq:job:{again.job_id}") == -1
    assert [job.state for job in (await queue.inspector.page()).jobs] == ["running"]
    await lane.advance([Ended(again, Completed(1))], 0)


async def test_watchers_learn_the_end_of_a_stock_job_that_was_met_in_the_same_call(
    queue: JobQueue, lane: Lane, valkey: ValkeyServer
) -> None:
    """Of several rows with one number they would take the first only."""
    cancelled = rq.Queue("default", connection=valkey.client).enqueue("math.hypot", 3, 4)
    heard: list[JobChange] = []
    queue.events.on_change(heard.append)
    await queue.events.start()
    await queue.events.wait_subscribed()
    await queue.producer.cancel(cancelled.id)
    claimed = rq.Queue("default", connection=valkey.client).enqueue("math.hypot", 3, 4)
    (job,) = (await lane.advance([], 1)).jobs

    async def heard_both() -> bool:
        return len(heard) >= 2

    await eventually(heard_both, "both are announced")
    assert [(change.job_id, change.state) for change in heard] == [(cancelled.id, "cancelled"), (claimed.id, "running")]
    await lane.advance([Ended(job, Completed(1))], 0)


async def test_what_a_stock_tool_changed_without_a_word_is_told_apart(queue: JobQueue, valkey: ValkeyServer) -> None:
    job = new("ann")
    await queue.producer.enqueue(job)
    assert (await queue.inspector.get(job.job_id)).announced
    valkey.client.hset(f"rq:job:{job.job_id}", "status", "canceled")
    assert not (await queue.inspector.get(job.job_id)).announced
    valkey.client.hset(f"rq:job:{job.job_id}", "status", "queued")


@pytest.mark.parametrize(
    ("field", "value"),
    [("x_due", "9" * 30), ("x_due", "-5"), ("x_done", "9" * 5000), ("x_mark", "finished 1"), ("x_run", "?")],
)
async def test_a_record_with_nonsense_hides_no_other(
    queue: JobQueue, valkey: ValkeyServer, field: str, value: str
) -> None:
    good, bad = new("ann"), new("bob")
    await queue.producer.enqueue_many([good, bad])
    before = valkey.client.hget(f"rq:job:{bad.job_id}", field)
    valkey.client.hset(f"rq:job:{bad.job_id}", field, value)
    found = await queue.inspector.get_many([good.job_id, bad.job_id])
    assert [job and (job.job_id, job.reason) for job in found] == [
        (good.job_id, None), (bad.job_id, f"the record is damaged: {field}"),
    ]  # fmt: skip
    assert [problem for problem in fsck(valkey.client) if bad.job_id in problem and field in problem]
    if before is None:
        valkey.client.hdel(f"rq:job:{bad.job_id}", field)
    else:
        valkey.client.hset(f"rq:job:{bad.job_id}", field, before)


async def test_registrations_with_nonsense_stop_neither_statistics_nor_the_worker_check(
    queue: JobQueue, valkey: ValkeyServer
) -> None:
    valkey.client.sadd("rq:workers", b"rq:worker:\xff", "rq:worker:odd")
    valkey.client.hset("rq:worker:odd", mapping={"hostname": "h", "pid": "none", "queues": "default"})
    assert [worker.pid for worker in (await queue.inspector.stats()).workers] == [0]
    assert await queue.maintenance.check_workers() == 1
    assert valkey.client.smembers("rq:workers") == {b"rq:worker:odd"}


@pytest.mark.parametrize("build", ["doubled", "itself"])
def test_a_pickle_that_unfolds_without_end_is_refused(build: str) -> None:
    value: list[object] = []
    if build == "itself":
        value.append(value)
    else:
        for _ in range(100):
            value = [value, value]
    with pytest.raises(rq_format.DecodeError, match="too many values"):
        rq_format.decode_result(base64.b64encode(pickle.dumps(value)))


async def test_a_list_of_a_user_shows_nobody_elses_jobs(queue: JobQueue, valkey: ValkeyServer) -> None:
    job = new("bob")
    await queue.producer.enqueue(job)
    valkey.client.zadd("rq:x:user:ann", {job.job_id: 1})
    assert (await queue.inspector.page(user_id="ann")).jobs == ()
    valkey.client.delete("rq:x:user:ann")


async def test_the_same_id_twice_in_a_batch_gets_one_answer(queue: JobQueue) -> None:
    job = new("ann", due=10**16)
    answers = await queue.producer.enqueue_many([job, job, replace(job, args=[1])])
    assert [getattr(answer, "state", None) for answer in answers] == ["scheduled", "scheduled", None]
    assert isinstance(answers[2], DuplicateJob)


async def test_a_worker_that_was_removed_claims_nothing(queue: JobQueue, lane: Lane, valkey: ValkeyServer) -> None:
    await queue.producer.enqueue(new("ann"))
    await queue.presence.remove_worker()
    with pytest.raises(UnknownWorker):
        await lane.advance([], 1)
    assert not valkey.client.exists("rq:x:worker:test")


@pytest.mark.parametrize("harm", ["x_core", "x_run", "status", "other type", "deleted"])
async def test_what_is_damaged_keeps_neither_its_users_place_nor_its_types(
    queue: JobQueue, lane: Lane, valkey: ValkeyServer, harm: str
) -> None:
    await queue.control.set_limits(per_user=1, types={"ocr": 1})
    bad, following, other = (replace(new(user), job_type="ocr") for user in ("ann", "ann", "bob"))
    await queue.producer.enqueue_many([bad, following, other])
    key = f"rq:job:{bad.job_id}"
    if harm in ("other type", "deleted"):
        valkey.client.delete(key)
        if harm == "other type":
            valkey.client.set(key, "nonsense")
    else:
        valkey.client.hset(key, harm, "nonsense")
    seen: list[str] = []
    ended: list[Ended] = []
    for _ in range(4):
        jobs = (await lane.advance(ended, 1)).jobs
        seen += [job.job_id for job in jobs]
        ended = [Ended(job, Completed(1)) for job in jobs]
    assert sorted(seen) == sorted([following.job_id, other.job_id])
    if harm in ("x_core", "x_run", "status"):
        found = await queue.inspector.get(bad.job_id)
        why = f"the record is damaged: {harm}"
        assert (found.state, found.error, found.reason, found.user_id) == ("failed", why, why, "ann")
    valkey.client.delete(key)
    await queue.cleanup.run_if_due()


async def test_a_batch_with_a_damaged_running_job_records_the_other_outcomes(
    queue: JobQueue, lane: Lane, valkey: ValkeyServer
) -> None:
    jobs = await claimed(queue, lane, "ann", "bob", "cat", "dan")
    valkey.client.hset(f"rq:job:{jobs['bob'].job_id}", "x_core", "nonsense")
    valkey.client.hset(f"rq:job:{jobs['cat'].job_id}", "x_run", "nonsense")
    valkey.client.hset("rq:worker:test", "successful_job_count", "nonsense")
    batch = await lane.advance([Ended(job, Completed(1)) for job in jobs.values()], 5)
    assert batch.verdicts == ["ok", "stale", "stale", "ok"]
    assert valkey.client.zcard("rq:x:leases") == 0
    for user, field in (("bob", "x_core"), ("cat", "x_run")):
        found = await queue.inspector.get(jobs[user].job_id)
        assert (found.state, found.user_id, found.reason) == ("failed", user, f"the record is damaged: {field}")
        assert valkey.client.hget(f"rq:job:{found.job_id}", "x_damaged") == f"{field} nonsense".encode()
        assert [problem for problem in fsck(valkey.client) if found.job_id in problem] == [
            f"job {found.job_id} is damaged: it was set aside, the record is damaged: {field}"
        ]
        await queue.producer.restart(found.job_id)
        (again,) = (await lane.advance([], 1)).jobs
        assert (await lane.advance([Ended(again, Completed(2))], 0)).verdicts == ["ok"]
    assert fsck(valkey.client) == [] and not valkey.client.exists("rq:x:damaged")


async def test_a_damaged_job_that_others_wait_for_calls_them_off(
    queue: JobQueue, lane: Lane, valkey: ValkeyServer
) -> None:
    parent = new("ann")
    child = replace(new("ann"), depends_on=[parent.job_id])
    await queue.producer.enqueue_many([parent, child])
    valkey.client.hset(f"rq:job:{parent.job_id}", "x_core", "nonsense")
    for _ in range(2):
        valkey.client.hdel("rq:x:meta", "sweep_throttle")
        await queue.maintenance.tick()
    assert [job and job.state for job in await queue.inspector.get_many([parent.job_id, child.job_id])] == [
        "failed", "cancelled",
    ]  # fmt: skip
    valkey.client.delete(f"rq:job:{parent.job_id}")


@pytest.mark.parametrize(
    ("key", "wanted"), [("rq:x:live:ann", "set"), ("rq:queue:default", "list"), ("rq:x:leases", "zset")]
)
def test_fsck_names_keys_of_another_type(valkey: ValkeyServer, key: str, wanted: str) -> None:
    valkey.client.set(key, "nonsense")
    assert fsck(valkey.client) == [f"{key} is a string, it must be a {wanted}"]
    valkey.client.rename(key, f"rq:x:aside:{key}")
    assert fsck(valkey.client) == [f"{key} was a string; it was put aside as rq:x:aside:{key}"]
    valkey.client.flushall()

"""What lies in Redis: names of keys, RQ's format as RQ itself reads it, both serializers, times."""

from __future__ import annotations

import pickle
import re
import uuid
import zlib
from datetime import UTC, datetime
from importlib.resources import files

import orjson
import pytest
import rq
from conftest import ValkeyServer
from hypothesis import given
from hypothesis import strategies as st
from rq.job import Job as StockJob
from rq.serializers import JSONSerializer

from jobqueue import Completed, Consumer, Ended, Failed, JobQueue, Keys, Lane, NewJob, Progress, rq_format
from jobqueue.config import Settings
from jobqueue.errors import QueueFull
from jobqueue.keys import STATES
from jobqueue.leases import LeaseRenewer
from jobqueue.presence import unique_name

LEASE_US = 60_000_000


async def one_life(queue: JobQueue) -> dict[str, str]:
    """Jobs in every state; the ids by state."""
    await queue.register_worker()
    ids = {name: str(uuid.uuid4()) for name in ("completed", "failed", "cancelled", "running", "pending", "scheduled")}
    for name, job_id in ids.items():
        due = 4 * 10**15 if name == "scheduled" else None
        job = NewJob(job_id=job_id, function="math.hypot", args=[3, 4], user_id=name, due=due, job_type="t")
        await queue.producer.enqueue(job)
    lane = Lane(queue.namespace, "test", 0, ("default",), LEASE_US)
    batch = await lane.advance([], 4)
    by_user = {job.user_id: job for job in batch.jobs}
    consumer = Consumer(queue.namespace, "test")
    await consumer.progress([(by_user["running"], Progress(by_user["running"].token, 0.5, "half", 1, 2))])
    await consumer.finish(
        [
            Ended(by_user["completed"], Completed({"five": 5})),
            Ended(by_user["failed"], Failed("ValueError: no", "trace")),
        ]
    )
    await queue.producer.cancel(ids["cancelled"])
    return ids


async def test_lua_and_python_name_the_same_keys(queue: JobQueue, valkey: ValkeyServer) -> None:
    ids = await one_life(queue)
    await queue.presence.beat_server(host="h", pid=1, rss_mb=1)
    keys = Keys()
    known = {keys.queues, keys.workers, keys.limiters, keys.meta, keys.limits, keys.leases, keys.stopping, keys.servers}
    known |= {keys.times}
    known |= {keys.state(state) for state in STATES}
    known |= {keys.queue("default"), keys.wip("default"), keys.finished("default"), keys.failed("default")}
    known |= {keys.canceled("default"), keys.scheduled("default"), keys.workers_of("default")}
    known |= {keys.worker("test"), keys.worker_data("test"), keys.server("test")}
    for user, job_id in ids.items():
        limiter = f"user:{user}"
        known |= {keys.job(job_id), keys.results(job_id), keys.user_jobs(user), keys.live(user), keys.limiter(limiter)}
        known |= {keys.limiter_allowed(limiter), keys.limiter_waiting(limiter)}
    found = {key.decode() for key in valkey.client.scan_iter()}
    assert found - known == set()
    assert {keys.leases, keys.stopping, keys.meta, keys.wip("default")} <= found


async def test_stock_rq_reads_every_record(queue: JobQueue, valkey: ValkeyServer) -> None:
    ids = await one_life(queue)
    words = {
        "completed": "finished", "failed": "failed", "cancelled": "canceled", "running": "started",
        "pending": "queued", "scheduled": "scheduled",
    }  # fmt: skip
    for name, job_id in ids.items():
        job = StockJob.fetch(job_id, connection=valkey.client, serializer=JSONSerializer)
        assert job.get_status() == words[name]
        assert (job.func_name, list(job.args)) == ("math.hypot", [3, 4])
        assert job.created_at.tzinfo is not None
    done = StockJob.fetch(ids["completed"], connection=valkey.client, serializer=JSONSerializer)
    assert done.return_value() == {"five": 5}
    assert done.latest_result().type == rq.results.Result.Type.SUCCESSFUL
    failed = StockJob.fetch(ids["failed"], connection=valkey.client, serializer=JSONSerializer)
    assert failed.latest_result().exc_string == "trace"
    stock_queue = rq.Queue("default", connection=valkey.client, serializer=JSONSerializer)
    assert stock_queue.finished_job_registry.get_job_ids() == [ids["completed"]]
    assert stock_queue.failed_job_registry.get_job_ids() == [ids["failed"]]
    assert stock_queue.scheduled_job_registry.get_job_ids() == [ids["scheduled"]]


@pytest.mark.parametrize("serializer", [None, JSONSerializer], ids=["pickle", "json"])
async def test_jobs_of_a_stock_producer_are_met_run_and_answered_in_their_serializer(
    queue: JobQueue, valkey: ValkeyServer, serializer: type[JSONSerializer] | None
) -> None:
    stock = rq.Queue("default", connection=valkey.client, serializer=serializer)
    made = stock.enqueue("math.hypot", 3, 4, result_ttl=77)
    seen = await queue.inspector.get(made.id)
    assert (seen.state, seen.user_id, seen.job_type) == ("pending", "default_user", "math.hypot")
    assert (await queue.maintenance.tick()).adopted == 1
    assert (await queue.inspector.stats()).counts["pending"] == 1
    await queue.register_worker()
    lane = Lane(queue.namespace, "test", 0, ("default",), LEASE_US)
    job = (await lane.advance([], 1)).jobs[0]
    assert (job.function, job.args, job.serializer) == ("math.hypot", [3, 4], "json" if serializer else "pickle")
    await lane.advance([Ended(job, Completed(5.0))], 0)
    done = StockJob.fetch(made.id, connection=valkey.client, serializer=serializer)
    assert (done.get_status(), done.return_value()) == ("finished", 5.0)
    assert 70 < valkey.client.ttl(f"rq:job:{made.id}") <= 77


async def test_an_unadopted_job_is_met_at_claim(queue: JobQueue, valkey: ValkeyServer) -> None:
    made = [rq.Queue("default", connection=valkey.client).enqueue("math.hypot", 3, n) for n in range(5)]
    await queue.register_worker()
    lane = Lane(queue.namespace, "test", 0, ("default",), LEASE_US)
    batch = await lane.advance([], 5)
    assert [job.job_id for job in batch.jobs] == [job.id for job in made[:3]], "three of default_user at once"
    again = await lane.advance([Ended(job, Completed(None)) for job in batch.jobs], 5)
    assert [job.job_id for job in again.jobs] == [job.id for job in made[3:]]
    await lane.advance([Ended(job, Completed(None)) for job in again.jobs], 0)


class Dangerous:
    def __reduce__(self) -> tuple[object, ...]:
        return (print, ("code from a pickle",))


def test_a_pickle_that_needs_a_global_is_refused() -> None:
    data = zlib.compress(pickle.dumps(("a.b", None, (Dangerous(),), {})))
    with pytest.raises(rq_format.DecodeError, match="refused"):
        rq_format.decode_call(data)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(json_values, max_size=4), st.booleans())
def test_arguments_come_out_as_they_went_in(args: list[object], zipped: bool) -> None:
    data = rq_format.encode_call("a.b", args, {"k": args})
    call = rq_format.decode_call(zlib.compress(data) if zipped else data)
    assert (call.args, call.kwargs) == (args, {"k": args})


@given(st.binary(max_size=200))
def test_any_bytes_are_a_call_or_a_decode_error(data: bytes) -> None:
    for blob in (data, b"\x80" + data, b"\x78" + data, zlib.compress(data)):
        try:
            rq_format.decode_call(blob)
        except rq_format.DecodeError:
            continue


@given(json_values)
def test_results_come_out_as_they_went_in(value: object) -> None:
    text = rq_format.encode_result(value, "json")
    assert (rq_format.decode_result(text.encode()) if text else None) == value


@given(st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1)), st.sampled_from(["naive", "Z", "+02:00", "short"]))
def test_api_I3_times_in_all_forms_parse(moment: datetime, form: str) -> None:
    text = moment.isoformat(timespec="seconds" if form == "short" else "microseconds")
    suffix = {"naive": "", "Z": "Z", "+02:00": "+02:00", "short": "Z"}[form]
    offset = 7200 if form == "+02:00" else 0
    fraction = 0 if form == "short" else moment.microsecond
    expected = int(moment.replace(tzinfo=UTC, microsecond=0).timestamp() - offset) * 1_000_000 + fraction
    assert rq_format.parse_time((text + suffix).encode()) == expected


async def test_lua_writes_dates_as_python_does(queue: JobQueue) -> None:
    """The civil date of the script against datetime, over four centuries."""
    base = (files("jobqueue") / "lua" / "include" / "base.lua").read_text()
    for seconds in range(0, 12_000_000_000, 86_399 * 1_009):
        reply = await queue.namespace.link.call("EVAL", f"{base}\nreturn iso({seconds}123456)", 0, "rq")
        assert reply.decode() == datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S") + ".123456Z"


async def test_events_are_json_whatever_the_step_says(queue: JobQueue, valkey: ValkeyServer) -> None:
    listener = valkey.client.pubsub()
    listener.subscribe(queue.namespace.keys.events)
    await queue.register_worker()
    await queue.producer.enqueue(NewJob(job_id=str(uuid.uuid4()), function="a.b", user_id="a.b@c", job_type="t"))
    lane = Lane(queue.namespace, "test", 0, ("default",), LEASE_US)
    job = (await lane.advance([], 1)).jobs[0]
    step = 'quote " backslash \\ newline \n line separator \u2028 control \x01'
    await Consumer(queue.namespace, "test").progress([(job, Progress(job.token, 0.25, step))])
    await lane.advance([Ended(job, Completed(None))], 0)
    events = []
    while len(events) < 4:
        message = listener.get_message(timeout=5)
        assert message is not None
        if message["type"] == "message":
            events.append(orjson.loads(message["data"]))
    listener.close()
    numbers = [event["n"] for event in events]
    assert numbers == list(range(numbers[0], numbers[0] + 4)), "the counter has no gap"
    states = [(row[1], row[3]) for event in events for row in event["jobs"]]
    assert states == [("pending", 0), ("running", 0), ("running", 0.25), ("completed", 1)]
    assert events[2]["jobs"][0][4] == step
    assert re.fullmatch(r"[0-9a-f-]{36}", events[0]["jobs"][0][0])


async def test_a_key_of_another_type_is_set_aside(queue: JobQueue, valkey: ValkeyServer) -> None:
    """Somebody wrote a list under a job's name: others go on, and the operator can see it."""
    valkey.client.rpush("rq:job:strange", "x")
    valkey.client.rpush("rq:queue:default", "strange", "gone")
    good = NewJob(job_id=str(uuid.uuid4()), function="a.b")
    await queue.producer.enqueue(good)
    await queue.register_worker()
    lane = Lane(queue.namespace, "test", 0, ("default",), LEASE_US)
    assert [job.job_id for job in (await lane.advance([], 5)).jobs] == [good.job_id]
    assert valkey.client.smembers("rq:x:damaged") == {b"strange"}
    valkey.client.delete("rq:job:strange")


async def test_memory_full_refuses_new_jobs_and_lets_the_others_end(queue: JobQueue, valkey: ValkeyServer) -> None:
    await queue.register_worker()
    jobs = [NewJob(job_id=str(uuid.uuid4()), function="a.b", user_id=f"u{n}") for n in range(4)]
    await queue.producer.enqueue_many(jobs)
    lane = Lane(queue.namespace, "test", 0, ("default",), LEASE_US)
    first = await lane.advance([], 2)
    valkey.client.config_set("maxmemory", "1")
    try:
        with pytest.raises(QueueFull):
            await queue.producer.enqueue(NewJob(job_id=str(uuid.uuid4()), function="a.b"))
        second = await lane.advance([Ended(job, Completed(1)) for job in first.jobs], 2)
        assert len(second.jobs) == 2
        await queue.producer.cancel(second.jobs[0].job_id)
        await queue.maintenance.tick()
    finally:
        valkey.client.config_set("maxmemory", "0")


async def test_eager_execution_records_are_there_at_claim_and_gone_at_the_end(
    queue: JobQueue, valkey: ValkeyServer
) -> None:
    await queue.register_worker()
    job_id = str(uuid.uuid4())
    await queue.producer.enqueue(NewJob(job_id=job_id, function="a.b"))
    lane = Lane(queue.namespace, "test", 0, ("default",), LEASE_US, eager_executions=True)
    job = (await lane.advance([], 1)).jobs[0]
    stock = StockJob.fetch(job_id, connection=valkey.client, serializer=JSONSerializer)
    assert [execution.id for execution in stock.get_executions()] == [job.execution_id]
    await lane.advance([Ended(job, Completed(None))], 0)
    assert not list(valkey.client.scan_iter("rq:execution*"))
    assert valkey.client.scard("rq:worker:test:executions") == 0


def test_a_trusted_pickle_may_name_what_it_wants() -> None:
    data = zlib.compress(pickle.dumps(("a.b", None, (datetime(2026, 1, 2),), {})))
    assert rq_format.decode_call(data, trusted=True).args == [datetime(2026, 1, 2)]
    with pytest.raises(rq_format.DecodeError, match="datetime"):
        rq_format.decode_call(data)


@pytest.mark.parametrize("number", [2**31, 2**32 - 1])
def test_a_pickle_that_would_reserve_gigabytes_is_refused(number: int) -> None:
    bomb = b"\x80\x04Nr" + number.to_bytes(4, "little") + b"."
    with pytest.raises(rq_format.DecodeError):
        rq_format.decode_call(bomb)


async def test_an_id_is_free_again_when_its_record_has_expired(queue: JobQueue, valkey: ValkeyServer) -> None:
    await queue.register_worker()
    job = NewJob(job_id=str(uuid.uuid4()), function="a.b")
    await queue.producer.enqueue(job)
    lane = Lane(queue.namespace, "test", 0, ("default",), LEASE_US)
    await lane.advance([Ended(claimed, Completed(1)) for claimed in (await lane.advance([], 1)).jobs], 0)
    valkey.client.delete(f"rq:job:{job.job_id}", f"rq:results:{job.job_id}")
    assert (await queue.producer.enqueue(job)).created
    assert (await queue.inspector.stats()).counts == {
        "pending": 1, "scheduled": 0, "running": 0, "completed": 0, "failed": 0, "cancelled": 0,
    }  # fmt: skip


async def test_a_job_deleted_and_made_again_by_others_is_not_touched_by_its_old_execution(
    queue: JobQueue, valkey: ValkeyServer
) -> None:
    await queue.register_worker()
    job = NewJob(job_id=str(uuid.uuid4()), function="a.b")
    other = NewJob(job_id=str(uuid.uuid4()), function="a.b")
    await queue.producer.enqueue_many([job, other])
    lane = Lane(queue.namespace, "test", 0, ("default",), LEASE_US)
    old = (await lane.advance([], 2)).jobs
    StockJob.fetch(job.job_id, connection=valkey.client, serializer=JSONSerializer).delete()
    await queue.producer.enqueue(job)
    batch = await lane.advance([Ended(claimed, Completed("old")) for claimed in old], 2)
    assert batch.verdicts == ["stale", "ok"]
    assert [claimed.job_id for claimed in batch.jobs] == [job.job_id]
    assert (await lane.advance([Ended(batch.jobs[0], Completed("new"))], 0)).verdicts == ["ok"]
    assert (await queue.inspector.get(job.job_id, result=True)).result == "new"


async def test_a_damaged_record_hides_no_other(queue: JobQueue, valkey: ValkeyServer) -> None:
    good = NewJob(job_id=str(uuid.uuid4()), function="a.b")
    await queue.producer.enqueue(good)
    valkey.client.hset("rq:job:bad", mapping={"status": "queued", "x_mark": "what", "x_run": "is this"})
    found = await queue.inspector.get_many(["bad", good.job_id])
    assert [job and job.reason for job in found] == ["the record is damaged: x_run, x_mark", None]
    valkey.client.delete("rq:job:bad")


async def test_the_best_of_a_mixed_batch_goes_first(queue: JobQueue) -> None:
    await queue.register_worker()
    order = ("low", "low", "low", "urgent")
    jobs = [NewJob(job_id=str(uuid.uuid4()), function="a.b", priority=priority) for priority in order]
    await queue.producer.enqueue_many(jobs)
    lane = Lane(queue.namespace, "test", 0, ("default",), LEASE_US)
    batch = await lane.advance([], 1)
    assert batch.jobs[0].job_id == jobs[3].job_id


async def test_a_burst_of_stock_jobs_joins_the_index_at_once(queue: JobQueue, valkey: ValkeyServer) -> None:
    stock = rq.Queue("default", connection=valkey.client, serializer=JSONSerializer)
    stock.enqueue_many([rq.Queue.prepare_data("math.hypot", (3, n)) for n in range(300)])
    assert (await queue.maintenance.tick()).adopted == 300
    assert (await queue.inspector.stats()).counts["pending"] == 300


async def test_a_worker_that_was_removed_as_silent_registers_again_when_it_wakes(
    queue: JobQueue, valkey: ValkeyServer
) -> None:
    await queue.register_worker()
    valkey.client.hset("rq:x:worker:test", "beat", 1)
    assert await queue.maintenance.check_workers() == 1
    assert (await queue.inspector.stats()).workers == ()
    renewer = LeaseRenewer(valkey.url, queue.namespace.keys, "test", lease_us=LEASE_US, timeout=5)
    assert not renewer.renew([], state="idle", rss_mb=1).registered
    await queue.register_worker()
    assert renewer.renew([], state="idle", rss_mb=1).registered
    renewer.close()
    assert [worker.name for worker in (await queue.inspector.stats()).workers] == ["test"]


async def test_what_dead_stock_workers_left_behind_does_not_count_as_running(
    queue: JobQueue, valkey: ValkeyServer
) -> None:
    await queue.register_worker()
    valkey.client.zadd("rq:wip:default", {f"old{n}:x": 1000 for n in range(10)})
    await queue.producer.enqueue(NewJob(job_id=str(uuid.uuid4()), function="a.b"))
    lane = Lane(queue.namespace, "test", 0, ("default",), LEASE_US)
    batch = await lane.advance([], 1)
    assert len(batch.jobs) == 1
    await lane.advance([Ended(batch.jobs[0], Completed(None))], 0)


async def test_a_host_of_any_name_gives_names_that_redis_takes(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "süd büro\n1")
    opened = await JobQueue.open(settings, name=unique_name("server-"))
    await opened.ready()
    await opened.close()

"""Schedules on a real Valkey: each tick makes one job whoever looks at it; what is wrong stands in nobody's way."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from conftest import ValkeyServer, eventually, settings_for

from jobqueue import JobQueue, NewJob, NewSchedule, Recurrence, Schedule, ScheduleReport, schedule_ticker
from jobqueue.errors import DuplicateSchedule, InvalidSchedule, QueueFull, ScheduleNotFound
from jobqueue.keys import STATES, Keys
from jobqueue.schedule_ticker import BATCH
from worker.worker import Worker

MICRO = 1_000_000
MINUTE = 60 * MICRO
YEAR = 365 * 24 * 60 * MINUTE
HOURLY = Recurrence(interval_seconds=3600)
# `once`: its last tick may become a missed one while a test looks at it.
CRON = Recurrence(cron="* * * * *", missed="once")
KEYS = Keys()

Open = Callable[..., Awaitable[JobQueue]]


@pytest.fixture
async def open_queue(valkey: ValkeyServer, tmp_path: Path) -> AsyncIterator[Open]:
    """Opens processes, as it were: each may act every ten milliseconds."""
    async with AsyncExitStack() as stack:

        async def open_one(name: str = "one", seconds: float = 0.01, **environment: str) -> JobQueue:
            ticks = {f"JOBQUEUE_{role}_TICK_SECONDS": str(seconds) for role in ("SERVER", "WORKER")}
            queue = await JobQueue.open(settings_for(valkey.url, tmp_path, **ticks, **environment), name=name)
            stack.push_async_callback(queue.close)
            return queue

        yield open_one


@pytest.fixture
async def queue(open_queue: Open) -> JobQueue:
    return await open_queue()


def new(recurrence: Recurrence = HOURLY, *, name: str = "", paused: bool = False, **job: Any) -> NewSchedule:
    template = NewJob(**{"job_id": "", "function": "a.b", "args": [{"deep": [1, "ä"]}], "user_id": "ann", **job})
    return NewSchedule(schedule_id=str(uuid.uuid4()), recurrence=recurrence, job=template, name=name, paused=paused)


def now_of(valkey: ValkeyServer) -> int:
    seconds, micros = valkey.client.time()  # type: ignore[misc]
    return seconds * MICRO + micros


def put_tick(valkey: ValkeyServer, schedule: Schedule | NewSchedule, tick: float) -> None:
    valkey.client.zadd(KEYS.ticks, {schedule.schedule_id: tick})


def last_minute(valkey: ValkeyServer) -> int:
    """The last tick of CRON: at most a minute ago."""
    return now_of(valkey) // MINUTE * MINUTE


def tick_of(valkey: ValkeyServer, schedule: Schedule | NewSchedule) -> int | None:
    score: float | None = valkey.client.zscore(KEYS.ticks, schedule.schedule_id)  # type: ignore[assignment]
    return None if score is None else int(score)


def job_ids(valkey: ValkeyServer) -> list[str]:
    return [job_id.decode() for state in STATES for job_id in valkey.client.zrange(KEYS.state(state), 0, -1)]


async def tick(queue: JobQueue) -> Counter[str]:
    """Until it acted and there is no more; the sum of what it did."""
    done: Counter[str] = Counter()
    before = await queue.namespace.call("HGET", KEYS.meta, "schedules_throttle")
    while True:
        report = await queue.schedules.tick()
        done.update(fired=report.fired, skipped=report.skipped, refused=report.refused, repaired=report.repaired)
        acted = await queue.namespace.call("HGET", KEYS.meta, "schedules_throttle") != before
        if acted and not report.more:
            return +done
        if not acted:
            await asyncio.sleep(0.002)


async def test_a_schedule_is_what_was_given(queue: JobQueue, valkey: ValkeyServer) -> None:
    rule = Recurrence(cron="0 3 * * MON", timezone="Europe/Berlin", missed="once")
    wanted = new(rule, name="Nächtlich", priority="high", max_attempts=3, timeout_seconds=60, queue="slow")
    made = await queue.schedules.create(wanted)
    assert (made.schedule_id, made.name, made.recurrence, made.job) == (
        wanted.schedule_id, "Nächtlich", rule, wanted.job,
    )  # fmt: skip
    assert made.next_run_at == rule.first(made.created_at) == tick_of(valkey, made)
    assert (made.paused, made.runs, made.last_run_at, made.last_job_id, made.error) == (False, 0, None, None, None)
    assert await queue.schedules.get(wanted.schedule_id) == made


async def test_the_same_again_is_answered_and_other_content_refused(queue: JobQueue, valkey: ValkeyServer) -> None:
    wanted = new()
    made = await queue.schedules.create(wanted)
    put_tick(valkey, made, now_of(valkey))
    await tick(queue)
    again = await queue.schedules.create(wanted)
    assert (again.runs, again.created_at) == (1, made.created_at)
    assert (await queue.schedules.page()).schedules == (again,)
    for other in (
        replace(wanted, name="x"),
        replace(wanted, paused=True),
        replace(wanted, recurrence=CRON),
        replace(wanted, job=replace(wanted.job, user_id="bob")),
    ):
        with pytest.raises(DuplicateSchedule):
            await queue.schedules.create(other)
    assert await queue.schedules.get(wanted.schedule_id) == again


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("schedule_id", replace(new(), schedule_id="x:y")),
        ("name", replace(new(), name="n" * 201)),
        ("cron", new(Recurrence(cron="0 0 30 2 *"))),
        ("interval_seconds", new(Recurrence(interval_seconds=0))),
        ("job", replace(new(), job=replace(new().job, due=1))),
    ],
)
async def test_of_what_is_wrong_nothing_is_stored(
    queue: JobQueue, valkey: ValkeyServer, field: str, wrong: NewSchedule
) -> None:
    with pytest.raises(InvalidSchedule) as caught:
        await queue.schedules.create(wrong)
    assert caught.value.field == field
    assert not valkey.client.keys("rq:x:schedule*") and not valkey.client.exists(KEYS.ticks)


async def test_a_tick_makes_the_job_of_the_template_and_the_next_one_comes(
    queue: JobQueue, valkey: ValkeyServer
) -> None:
    made = await queue.schedules.create(new(priority="urgent", timeout_seconds=77))
    due = now_of(valkey) - 5 * MICRO
    put_tick(valkey, made, due)
    assert await tick(queue) == {"fired": 1}
    (job_id,) = job_ids(valkey)
    job = await queue.inspector.get(job_id)
    assert (job.user_id, job.priority, job.state) == ("ann", "urgent", "pending")
    found = await queue.schedules.get(made.schedule_id)
    assert (found.runs, found.last_job_id, found.next_run_at) == (1, job_id, due + 60 * MINUTE)
    assert found.last_run_at is not None and found.last_run_at >= due
    assert await tick(queue) == {}


async def test_intervals_run_by_the_clock(queue: JobQueue, valkey: ValkeyServer) -> None:
    made = await queue.schedules.create(new(Recurrence(interval_seconds=1)))

    async def twice() -> bool:
        await queue.schedules.tick()
        return (await queue.schedules.get(made.schedule_id)).runs == 2

    assert tick_of(valkey, made) == made.created_at + MICRO or tick_of(valkey, made) == made.next_run_at
    await eventually(twice, "two runs")
    assert len(job_ids(valkey)) == 2


@pytest.mark.parametrize("processes", [2, 3])
async def test_no_tick_is_lost_or_doubled_by_several_processes(
    open_queue: Open, valkey: ValkeyServer, processes: int
) -> None:
    queues = [await open_queue(f"process-{n}", 0.001) for n in range(processes)]
    wanted = [new(Recurrence(interval_seconds=1 + n % 2), user_id=f"u{n % 7}") for n in range(40)]
    made = [await queues[n % processes].schedules.create(schedule) for n, schedule in enumerate(wanted)]
    first = {schedule.schedule_id: schedule.next_run_at or 0 for schedule in made}
    stop = asyncio.Event()

    async def ticker(queue: JobQueue) -> int:
        fired = 0
        while not stop.is_set():
            fired += (await queue.schedules.tick()).fired
            await asyncio.sleep(0)
        return fired

    async def enough() -> bool:
        return all(schedule.runs >= 2 for schedule in await asyncio.gather(*map(queues[0].schedules.get, first)))

    async with asyncio.TaskGroup() as group:
        tickers = [group.create_task(ticker(queue), name=queue.name) for queue in queues]
        await eventually(enough, "each ran twice", 15)
        stop.set()
    fired = [task.result() for task in tickers]
    found = [await queues[0].schedules.get(each) for each in first]
    for schedule in found:
        interval = (schedule.recurrence.interval_seconds or 0) * MICRO
        last = int(valkey.client.hget(KEYS.schedule(schedule.schedule_id), "last_tick"))  # type: ignore[arg-type]
        assert (last - first[schedule.schedule_id]) // interval + 1 == schedule.runs, "each tick until the last, once"
        assert schedule.next_run_at == last + interval
    assert len(job_ids(valkey)) == sum(schedule.runs for schedule in found) == sum(fired)


async def test_ticks_of_cron_that_all_see_at_once_make_one_job_each(open_queue: Open, valkey: ValkeyServer) -> None:
    queues = [await open_queue(f"process-{n}", 0.0001) for n in range(3)]
    made = [await queues[0].schedules.create(new(CRON)) for _ in range(60)]
    due = last_minute(valkey)
    for schedule in made:
        put_tick(valkey, schedule, due)
    looks = [await queue.schedules._ticker._look() for queue in queues]
    assert all(len(seen) == 60 for _, _, seen, _ in looks), "all of them have seen all of it"
    outcomes = await asyncio.gather(
        *(queue.schedules._ticker._fire_all(look[2], look[0]) for queue, look in zip(queues, looks, strict=True))
    )
    counts = Counter(outcome for part, failure in outcomes for outcome in part)
    assert counts == {"fired": 60, "superseded": 120}
    assert len(job_ids(valkey)) == 60
    for schedule in made:
        found = await queues[0].schedules.get(schedule.schedule_id)
        assert found.runs == 1 and found.next_run_at in {CRON.first(look[0]) for look in looks}


async def test_who_dies_between_looking_and_firing_loses_nothing(open_queue: Open, valkey: ValkeyServer) -> None:
    one, other = await open_queue("one", 0.0001), await open_queue("other", 0.0001)
    made = await one.schedules.create(new())
    put_tick(valkey, made, now_of(valkey) - MICRO)
    now, _, due, _ = await one.schedules._ticker._look()
    assert len(due) == 1
    assert await tick(other) == {"fired": 1}
    assert await one.schedules._ticker._fire_all(due, now) == (["superseded"], None), "it was only frozen"
    assert len(job_ids(valkey)) == (await one.schedules.get(made.schedule_id)).runs == 1


@pytest.mark.parametrize("rule", [HOURLY, CRON], ids=["interval", "cron"])
@pytest.mark.parametrize("missed", ["skip", "once"])
async def test_missed_ticks_are_skipped_or_run_once(
    queue: JobQueue, valkey: ValkeyServer, rule: Recurrence, missed: Any
) -> None:
    made = await queue.schedules.create(new(replace(rule, missed=missed)))
    long_ago = last_minute(valkey) - 60 * 5 * MINUTE
    put_tick(valkey, made, long_ago)
    assert await tick(queue) == ({"skipped": 1} if missed == "skip" else {"fired": 1})
    found = await queue.schedules.get(made.schedule_id)
    assert found.next_run_at is not None and now_of(valkey) < found.next_run_at <= now_of(valkey) + 60 * MINUTE
    assert found.runs == len(job_ids(valkey)) == (0 if missed == "skip" else 1)
    assert (found.error is not None) == (missed == "skip")
    assert found.error is None or "was skipped" in found.error
    put_tick(valkey, made, now_of(valkey) - MICRO)
    await tick(queue)
    found = await queue.schedules.get(made.schedule_id)
    assert found.error is None and found.runs == len(job_ids(valkey)) == (1 if missed == "skip" else 2)


async def test_a_tick_that_comes_within_a_minute_is_no_missed_one(queue: JobQueue, valkey: ValkeyServer) -> None:
    made = await queue.schedules.create(new(Recurrence(interval_seconds=1)))
    put_tick(valkey, made, now_of(valkey) - 50 * MICRO)
    assert await tick(queue) == {"fired": 1}, "fifty were due: one job"
    found = await queue.schedules.get(made.schedule_id)
    assert found.next_run_at is not None and found.next_run_at > now_of(valkey) - MICRO
    assert len(job_ids(valkey)) == 1


async def test_paused_schedules_do_not_run_and_resumed_ones_begin_anew(queue: JobQueue, valkey: ValkeyServer) -> None:
    made = await queue.schedules.create(new())
    put_tick(valkey, made, now_of(valkey) - MICRO)
    paused = await queue.schedules.pause(made.schedule_id)
    assert paused.paused and paused.next_run_at is None and await queue.schedules.pause(made.schedule_id) == paused
    assert await tick(queue) == {} == await tick(queue)
    resumed = await queue.schedules.resume(made.schedule_id)
    assert not resumed.paused and resumed.next_run_at is not None
    assert abs(resumed.next_run_at - now_of(valkey) - 60 * MINUTE) < 5 * MICRO
    assert await queue.schedules.resume(made.schedule_id) == resumed, "what is not paused keeps its tick"
    assert job_ids(valkey) == []


async def test_one_that_begins_paused_has_no_tick(queue: JobQueue, valkey: ValkeyServer) -> None:
    made = await queue.schedules.create(new(paused=True))
    assert made.paused and made.next_run_at is None and tick_of(valkey, made) is None
    assert await tick(queue) == {}
    assert (await queue.schedules.resume(made.schedule_id)).next_run_at is not None


async def test_run_now_makes_one_more_job_and_leaves_the_ticks_alone(queue: JobQueue, valkey: ValkeyServer) -> None:
    made = await queue.schedules.create(new(paused=True))
    first = await queue.schedules.run_now(made.schedule_id, once="key")
    assert await queue.schedules.run_now(made.schedule_id, once="key") == replace(first, created=False)
    second = await queue.schedules.run_now(made.schedule_id)
    assert {first.job_id, second.job_id} == set(job_ids(valkey)) and first.job_id != second.job_id
    assert await queue.schedules.get(made.schedule_id) == made
    active = await queue.schedules.create(new())
    await queue.schedules.run_now(active.schedule_id)
    assert await queue.schedules.get(active.schedule_id) == active


async def test_what_does_not_exist_cannot_be_changed(queue: JobQueue, valkey: ValkeyServer) -> None:
    made = await queue.schedules.create(new())
    await queue.schedules.remove(made.schedule_id)
    schedules = queue.schedules
    for unknown in (made.schedule_id, str(uuid.uuid4()), "", "a:b", "X" * 300):
        for change in (schedules.get, schedules.remove, schedules.pause, schedules.resume, schedules.run_now):
            with pytest.raises(ScheduleNotFound):
                await change(unknown)
    assert not valkey.client.keys("rq:x:schedule*") and not valkey.client.exists(KEYS.ticks)


async def test_changes_race_with_firing(open_queue: Open, valkey: ValkeyServer) -> None:
    """Whoever comes first: there is a job for each run, and what was removed does not come back."""
    one, other = await open_queue("one", 0.0001), await open_queue("other", 0.0001)
    made_jobs, outcomes = 0, Counter[str]()
    for number in range(60):
        schedule = await one.schedules.create(new(CRON if number % 2 else HOURLY))
        put_tick(valkey, schedule, last_minute(valkey))
        now, _, due, _ = await one.schedules._ticker._look()
        change = (other.schedules.pause, other.schedules.remove, other.schedules.resume)[number % 3]

        async def later(change: Any = change, schedule: Schedule = schedule, turns: int = number % 5) -> None:
            for _ in range(turns):
                await asyncio.sleep(0)
            await change(schedule.schedule_id)

        (outcome, failure), _ = await asyncio.gather(one.schedules._ticker._fire_all(due, now), later())
        assert failure is None
        outcomes.update(str(each) for each in outcome)
        made_jobs += outcome.count("fired")
        assert len(job_ids(valkey)) == made_jobs
        if change == other.schedules.remove:
            assert not valkey.client.exists(KEYS.schedule(schedule.schedule_id))
            assert tick_of(valkey, schedule) is None
        else:
            found = await one.schedules.get(schedule.schedule_id)
            assert found.runs == outcome.count("fired")
            assert (tick_of(valkey, schedule) is None) == found.paused == (change == other.schedules.pause)
            await one.schedules.remove(schedule.schedule_id)
    assert outcomes["fired"] > 20, "those that were only resumed have fired"


@pytest.mark.parametrize("rule", [HOURLY, CRON], ids=["interval", "cron"])
async def test_a_clock_that_went_back_loses_no_ticks(queue: JobQueue, valkey: ValkeyServer, rule: Recurrence) -> None:
    made = await queue.schedules.create(new(rule))
    put_tick(valkey, made, now_of(valkey) // MINUTE * MINUTE + YEAR)
    assert await tick(queue) == {"repaired": 1}
    right = tick_of(valkey, made)
    assert right is not None and now_of(valkey) < right <= now_of(valkey) + 60 * MINUTE
    assert await tick(queue) == {} and tick_of(valkey, made) == right


async def test_a_tick_of_cron_that_comes_again_makes_no_second_job(queue: JobQueue, valkey: ValkeyServer) -> None:
    made = await queue.schedules.create(new(CRON))
    due = last_minute(valkey)
    put_tick(valkey, made, due)
    assert await tick(queue) == {"fired": 1}
    put_tick(valkey, made, due)
    seen_at = now_of(valkey)
    assert await tick(queue) == {}
    assert len(job_ids(valkey)) == 1 and tick_of(valkey, made) in {CRON.first(seen_at), CRON.first(now_of(valkey))}


async def test_a_tick_that_was_lost_is_found_in_rotation(queue: JobQueue, valkey: ValkeyServer) -> None:
    made = [await queue.schedules.create(new()) for _ in range(50)]
    paused = await queue.schedules.create(new(paused=True))
    valkey.client.delete(KEYS.ticks)
    repaired = 0
    for _ in range(4):
        repaired += (await tick(queue))["repaired"]
    assert repaired == 50 and tick_of(valkey, paused) is None
    assert all(tick_of(valkey, schedule) is not None for schedule in made)


async def test_a_worker_alone_fires_what_is_due(queue: JobQueue, valkey: ValkeyServer) -> None:
    made = await queue.schedules.create(new(queue="served by nobody"))
    put_tick(valkey, made, now_of(valkey) - MICRO)
    background = asyncio.create_task(Worker(queue, queue.settings)._background(), name="worker-background")

    async def fired() -> bool:
        return (await queue.schedules.get(made.schedule_id)).runs == 1

    try:
        await eventually(fired, "the worker fired it")
    finally:
        background.cancel()
        await asyncio.gather(background, return_exceptions=True)
        await queue.presence.remove_worker()


async def test_what_was_seen_before_a_change_moves_nothing_after_it(open_queue: Open, valkey: ValkeyServer) -> None:
    one, other = await open_queue("one"), await open_queue("other")
    made, lost = await one.schedules.create(new()), await one.schedules.create(new())
    put_tick(valkey, made, now_of(valkey) - 60 * MINUTE)
    valkey.client.zrem(KEYS.ticks, lost.schedule_id)
    ticker = one.schedules._ticker
    now, _, due, others = await ticker._look()
    (missed,), _ = await ticker._fire_all(due, now)
    moves = [missed, *schedule_ticker._repairs(others, now)]
    assert len(moves) == 2
    await other.schedules.pause(lost.schedule_id)
    put_tick(valkey, made, now + MINUTE)
    assert await ticker._move(moves) == []  # type: ignore[arg-type]
    assert (tick_of(valkey, made), tick_of(valkey, lost)) == (now + MINUTE, None)
    assert (await one.schedules.get(made.schedule_id)).error is None


async def test_a_paused_one_with_a_tick_loses_it_in_rotation(queue: JobQueue, valkey: ValkeyServer) -> None:
    made = await queue.schedules.create(new(paused=True))
    put_tick(valkey, made, now_of(valkey) + MINUTE)
    assert await tick(queue) == {} and tick_of(valkey, made) is None


async def test_one_process_acts_in_an_interval(open_queue: Open, valkey: ValkeyServer) -> None:
    one, other = await open_queue("one", 5), await open_queue("other", 5)
    made = [await one.schedules.create(new()) for _ in range(BATCH + 1)]
    assert (await one.schedules.tick()).fired == 0
    for schedule in made:
        put_tick(valkey, schedule, now_of(valkey))
    assert (await other.schedules.tick()).fired == 0
    valkey.client.hdel(KEYS.meta, "schedules_throttle")
    report = await one.schedules.tick()
    assert (report.fired, report.more) == (BATCH, True)
    assert (await other.schedules.tick()).fired == 0, "who has begun goes on"
    assert (await one.schedules.tick()).fired == 1


JOB_TYPE = """
[job_types.translation]
function = "worker.jobs.translation:run"
parameters = "fake_parameters:Strict"
"""


async def test_a_type_that_is_gone_is_told_and_the_next_tick_comes(
    queue: JobQueue, open_queue: Open, valkey: ValkeyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await queue.schedules.create(new(job_type="translation"))
    due = now_of(valkey) - MICRO
    put_tick(valkey, made, due)
    assert await tick(queue) == {} and tick_of(valkey, made) == due, "somebody else may know it"
    monkeypatch.setattr(schedule_ticker, "UNKNOWN_SECONDS", 0.05)

    async def told() -> bool:
        return (await queue.schedules.tick()).refused == 1

    await eventually(told, "nobody else came")
    found = await queue.schedules.get(made.schedule_id)
    assert found.error == "No job was made: there is no job type translation any more"
    assert found.next_run_at == due + 60 * MINUTE and job_ids(valkey) == []
    (tmp_path / "config.toml").write_text(JOB_TYPE)
    put_tick(valkey, made, due)
    assert await tick(await open_queue("new")) == {"fired": 1}
    assert (await queue.schedules.get(made.schedule_id)).error is None and len(job_ids(valkey)) == 1


async def test_who_does_not_know_a_type_leaves_its_ticks_to_those_who_do(
    queue: JobQueue, open_queue: Open, valkey: ValkeyServer, tmp_path: Path
) -> None:
    """Also when the first one is always a bit earlier, and the tick is long over."""
    (tmp_path / "config.toml").write_text(JOB_TYPE)
    other = await open_queue("new")
    made = await queue.schedules.create(new(replace(HOURLY, missed="once"), job_type="translation"))
    put_tick(valkey, made, now_of(valkey) - 5 * MINUTE)
    turns = 0

    async def fired() -> bool:
        nonlocal turns
        turns += 1
        assert await queue.schedules.tick() == ScheduleReport()
        return (await other.schedules.tick()).fired == 1

    await eventually(fired, "the one who knows it has its turn")
    assert turns > 1, "the first turn was the other's"


async def test_those_whose_type_is_unknown_here_do_not_stand_in_the_way(queue: JobQueue, valkey: ValkeyServer) -> None:
    unknown = [await queue.schedules.create(new(job_type="unknown")) for _ in range(BATCH + 30)]
    known = await queue.schedules.create(new())
    due = now_of(valkey) - MICRO
    for schedule in unknown:
        put_tick(valkey, schedule, due)
    put_tick(valkey, known, due + 1)
    assert await tick(queue) == {"fired": 1}
    assert (await queue.schedules.get(known.schedule_id)).runs == 1
    assert valkey.client.zcount(KEYS.ticks, due, due) == BATCH + 30


async def test_a_job_that_is_refused_is_told_and_the_next_tick_comes(queue: JobQueue, valkey: ValkeyServer) -> None:
    made = await queue.schedules.create(new())
    put_tick(valkey, made, now_of(valkey) - MICRO)
    taken = KEYS.job(str(uuid.uuid5(uuid.UUID(made.schedule_id), "run 0")))
    valkey.client.set(taken, "something else")
    assert await tick(queue) == {"refused": 1}
    valkey.client.delete(taken)
    found = await queue.schedules.get(made.schedule_id)
    assert found.error is not None and found.error.startswith("No job was made: ")
    assert found.next_run_at is not None and found.next_run_at > now_of(valkey) and job_ids(valkey) == []


async def test_while_memory_is_full_ticks_stay_due(
    queue: JobQueue, valkey: ValkeyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await queue.schedules.create(new())
    missed = await queue.schedules.create(new())
    due = now_of(valkey) - MICRO
    put_tick(valkey, made, due)
    put_tick(valkey, missed, due - 60 * MINUTE)

    async def refuse(*_: Any, **__: Any) -> None:
        raise QueueFull("memory is full")

    with monkeypatch.context() as patch:
        patch.setattr(queue.producer, "enqueue", refuse)
        with pytest.raises(QueueFull):
            await tick(queue)
    assert tick_of(valkey, made) == due
    assert (await queue.schedules.get(missed.schedule_id)).error is not None, "what needs no memory goes on"
    assert await tick(queue) == {"fired": 1}


DAMAGE: dict[str, Callable[[Any, str], Any]] = {
    "rule is no JSON": lambda client, key: client.hset(key, "rule", b"\xff{"),
    "rule is a list": lambda client, key: client.hset(key, "rule", "[]"),
    "rule is nonsense": lambda client, key: client.hset(key, "rule", '{"cron": 7, "timezone": []}'),
    "rule has both": lambda client, key: client.hset(key, "rule", '{"cron": "* * * * *", "interval_seconds": 1}'),
    "rule has an unknown zone": lambda client, key: client.hset(key, "rule", '{"cron": "* * * * *", "timezone": "X"}'),
    "rule is newer": lambda client, key: client.hset(key, "rule", '{"interval_seconds": 60, "moon": "full"}'),
    "template is no JSON": lambda client, key: client.hset(key, "template", "{"),
    "template is empty": lambda client, key: client.hset(key, "template", "{}"),
    "template is nonsense": lambda client, key: client.hset(key, "template", '{"function": "a.b", "args": 7}'),
    "template is newer": lambda client, key: client.hset(key, "template", '{"function": "a.b", "moon": "full"}'),
    "template has a wrong user": lambda client, key: client.hset(key, "template", '{"function": "a.b", "user_id": 7}'),
    "no rule": lambda client, key: client.hdel(key, "rule"),
    "no template": lambda client, key: client.hdel(key, "template"),
    "no record": lambda client, key: client.delete(key),
    "another type": lambda client, key: (client.delete(key), client.set(key, "x")),
    "runs is no number": lambda client, key: client.hset(key, "runs", "x"),
}


@pytest.mark.parametrize("damage", DAMAGE)
async def test_a_damaged_record_stands_in_nobodys_way(
    queue: JobQueue, valkey: ValkeyServer, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule_ticker, "UNKNOWN_SECONDS", 0.03)
    broken, good = await queue.schedules.create(new()), await queue.schedules.create(new())
    DAMAGE[damage](valkey.client, KEYS.schedule(broken.schedule_id))
    long_ago, just_now = now_of(valkey) - 30 * MICRO, now_of(valkey)
    put_tick(valkey, broken, long_ago)
    put_tick(valkey, good, just_now)
    done = await tick(queue)
    assert done["fired"] in (1, 2) and (await queue.schedules.get(good.schedule_id)).runs == 1

    async def moved() -> bool:
        await queue.schedules.tick()
        return tick_of(valkey, broken) != long_ago

    await eventually(moved, "it is not looked at again each second")
    page = await queue.schedules.page()
    assert good.schedule_id in {schedule.schedule_id for schedule in page.schedules}
    await tick(queue)
    if valkey.client.zscore(KEYS.schedules, broken.schedule_id) is not None:
        await queue.schedules.remove(broken.schedule_id)
    assert not valkey.client.exists(KEYS.schedule(broken.schedule_id))


@pytest.mark.parametrize("score", [float("inf"), -float("inf"), 1e18, 1.5, -5.0])
async def test_a_tick_that_is_no_time_is_put_right(queue: JobQueue, valkey: ValkeyServer, score: float) -> None:
    made = await queue.schedules.create(new())
    put_tick(valkey, made, score)
    assert (await queue.schedules.page()).schedules[0].schedule_id == made.schedule_id
    assert await tick(queue) == {"repaired": 1}
    right = tick_of(valkey, made)
    assert right is not None and now_of(valkey) < right <= now_of(valkey) + 60 * MINUTE


async def test_what_a_newer_version_made_is_shown_but_not_run_here(queue: JobQueue, valkey: ValkeyServer) -> None:
    made = await queue.schedules.create(new())
    key = KEYS.schedule(made.schedule_id)
    template = orjson.loads(valkey.client.hget(key, "template"))  # type: ignore[arg-type]
    valkey.client.hset(key, "template", orjson.dumps({**template, "moon": "full"}))
    assert await queue.schedules.get(made.schedule_id) == made
    with pytest.raises(InvalidSchedule):
        await queue.schedules.run_now(made.schedule_id)


async def test_pages_show_all_newest_first(queue: JobQueue) -> None:
    made = [await queue.schedules.create(new(user_id="ann" if n % 3 else "bob")) for n in range(61)]
    newest = [schedule.schedule_id for schedule in reversed(made)]
    for user, expected in (
        (None, newest),
        ("bob", [each.schedule_id for each in reversed(made) if each.job.user_id == "bob"]),
        ("eve", []),
    ):
        found: list[str] = []
        cursor = None
        while True:
            page = await queue.schedules.page(user_id=user, limit=7, cursor=cursor)
            assert len(page.schedules) <= 7
            found += [schedule.schedule_id for schedule in page.schedules]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert found == expected


async def test_a_page_of_large_schedules_ends_early(queue: JobQueue) -> None:
    made = [await queue.schedules.create(new(args=["x" * 250_000])) for _ in range(60)]
    page = await queue.schedules.page(limit=60)
    assert 17 <= len(page.schedules) <= 50 and page.next_cursor is not None
    rest = await queue.schedules.page(limit=60, cursor=page.next_cursor)
    shown = {schedule.schedule_id for schedule in (*page.schedules, *rest.schedules)}
    while rest.next_cursor is not None:
        rest = await queue.schedules.page(limit=60, cursor=rest.next_cursor)
        shown |= {schedule.schedule_id for schedule in rest.schedules}
    assert shown == {schedule.schedule_id for schedule in made}


async def test_large_schedules_fire_in_small_batches(queue: JobQueue, valkey: ValkeyServer) -> None:
    for _ in range(12):
        put_tick(valkey, await queue.schedules.create(new(args=["x" * 250_000])), now_of(valkey))

    async def some() -> int:
        return (await queue.schedules.tick()).fired

    first = 0
    while not first:
        first = await some()
    assert first == 5, "a MiB of them"
    assert (await tick(queue))["fired"] == 7


@pytest.mark.slow
async def test_ten_thousand_at_once_move_in_bounded_batches(queue: JobQueue, valkey: ValkeyServer) -> None:
    model = await queue.schedules.create(new())
    record = valkey.client.hgetall(KEYS.schedule(model.schedule_id))
    due = now_of(valkey)
    pipe = valkey.client.pipeline(transaction=False)
    for n in range(9_999):
        schedule_id = str(uuid.uuid4())
        pipe.hset(KEYS.schedule(schedule_id), mapping={**record, b"created": due + n})  # type: ignore[dict-item]
        pipe.zadd(KEYS.schedules, {schedule_id: due + n})
        pipe.zadd(KEYS.ticks, {schedule_id: due})
    pipe.zadd(KEYS.ticks, {model.schedule_id: due})
    pipe.execute()
    valkey.client.config_resetstat()
    fired, batches, began = 0, 0, time.monotonic()
    while fired < 10_000:
        report = await queue.schedules.tick()
        assert report.fired <= BATCH and report.refused == report.skipped == 0
        fired += report.fired
        batches += report.fired > 0
    assert fired == 10_000 and batches == 100
    assert valkey.client.zcount(KEYS.ticks, "-inf", now_of(valkey)) == 0
    assert valkey.client.zcard(KEYS.ticks) == len(set(job_ids(valkey))) == 10_000
    calls = valkey.client.info("commandstats")["cmdstat_evalsha"]  # type: ignore[index]
    print(f"10,000 schedules in {time.monotonic() - began:.1f} s, {calls['usec_per_call']:.0f} us a script call")

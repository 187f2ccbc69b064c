"""Further attempts: when they come, who counts them, and what is remembered of the earlier ones. And RQ's Repeat."""

from __future__ import annotations

import time
from typing import Any

import pytest
import rq
from hands import Hands, new
from rq.job import Job as StockJob
from rq.serializers import JSONSerializer

from jobqueue import Completed, Failed, NewJob, Released
from jobqueue.record import MOST_ATTEMPTS

ERROR = Failed("ValueError: x", "trace")


def delay_of(hands: Hands, job: NewJob | str, since: float) -> float:
    """Seconds from `since` until its next attempt."""
    score = hands.client.zscore("rq:scheduled:default", job if isinstance(job, str) else job.job_id)
    assert score is not None
    return score - since


async def fail(hands: Hands, job: NewJob | str) -> float:
    """Run it once, to an error; the time of that."""
    await hands.start(job)
    since = time.time()
    await hands.end(job, ERROR)
    return since


async def come_due(hands: Hands, job: NewJob | str) -> None:
    hands.let_due(job)
    await hands.tick()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [1, 2, 4, 8]),
        ({"backoff_seconds": 10.0, "backoff_max_seconds": 25.0}, [10, 20, 25, 25]),
        ({"backoff_seconds": 0.5, "backoff_max_seconds": 0.5}, [0.5] * 4),
    ],
    ids=["default", "capped", "constant"],
)
async def test_the_back_off_doubles_up_to_its_cap(hands: Hands, options: Any, expected: list[float]) -> None:
    job = new(max_attempts=5, **options)
    await hands.add(job)
    for attempt, seconds in enumerate(expected, start=1):
        delay = delay_of(hands, job, await fail(hands, job))
        assert 0.75 * seconds - 0.01 <= delay <= 1.25 * seconds + 0.25
        found = await hands.get(job)
        assert (found.state, found.attempt, found.retries_left) == ("pending", attempt, 4 - attempt)
        assert hands.status(job) == "scheduled"
        assert await hands.take() == [], "not before its time"
        await come_due(hands, job)
    await fail(hands, job)
    found = await hands.get(job)
    assert (found.state, found.error, found.attempt, found.max_attempts) == ("failed", "ValueError: x", 5, 5)
    assert hands.client.zcard("rq:scheduled:default") == 0


async def test_the_jitter_spreads_over_half_of_the_delay(hands: Hands) -> None:
    await hands.queue.control.set_limits(total=100, per_user=100)
    jobs = [new(max_attempts=2, backoff_seconds=100.0) for _ in range(60)]
    await hands.add(*jobs)
    await hands.take(60)
    delays = []
    for job in jobs:
        since = time.time()
        await hands.end(job, ERROR)
        delays.append(delay_of(hands, job, since))
    assert 74.9 <= min(delays) < 90 and 110 < max(delays) <= 125.5


async def test_each_job_of_a_batch_has_its_own_back_off(hands: Hands) -> None:
    slow, quick = new(max_attempts=2, backoff_seconds=1000.0, backoff_max_seconds=1000.0), new(max_attempts=2)
    await hands.add(slow, quick)
    assert delay_of(hands, slow, await fail(hands, slow)) >= 740
    assert delay_of(hands, quick, await fail(hands, quick)) <= 1.5


async def test_a_permanent_error_is_the_last_attempt(hands: Hands) -> None:
    job = new(max_attempts=5)
    await hands.add(job)
    await hands.run(job, Failed("ValueError: x", permanent=True))
    found = await hands.get(job)
    assert (found.state, found.attempt, [attempt.outcome for attempt in found.attempts]) == ("failed", 1, ["failed"])


async def test_lost_and_interrupted_attempts_are_no_errors(hands: Hands) -> None:
    job = new(max_attempts=2, max_lost_attempts=3)
    await hands.add(job)
    await hands.start(job)
    await hands.lose(job)
    await hands.run(job, Released())
    await hands.start(job)
    await hands.lose(job)
    found = await hands.get(job)
    assert (found.state, found.retries_left, hands.status(job)) == ("pending", 1, "queued"), "at once, without back-off"
    assert [attempt.outcome for attempt in found.attempts] == ["lost", "interrupted", "lost"]
    assert [attempt.attempt for attempt in found.attempts] == [1, 2, 2], "what was given back counts as none"
    assert 0.74 <= delay_of(hands, job, await fail(hands, job)) <= 1.5, "the first error"
    await come_due(hands, job)
    await fail(hands, job)
    assert (await hands.get(job)).state == "failed"


async def test_a_job_that_waits_for_its_retry_keeps_its_place_and_can_be_cancelled(hands: Hands) -> None:
    await hands.queue.control.set_limits(total=1, per_user=1)
    one, two, three = new(max_attempts=2), new(max_attempts=2), new()
    await hands.add(one, two)
    await fail(hands, one)
    await hands.add(three)
    await fail(hands, two)
    await hands.queue.producer.cancel(two.job_id)
    assert (await hands.get(two)).state == "cancelled"
    assert hands.client.zscore("rq:scheduled:default", two.job_id) is None
    await come_due(hands, one)
    assert await hands.take(1) == [one.job_id], "before those that came later"


# history


async def test_the_history_tells_of_every_attempt(hands: Hands) -> None:
    job = new(max_attempts=2, max_lost_attempts=2)
    await hands.add(job)
    begun = time.time() * 1e6
    await fail(hands, job)
    await come_due(hands, job)
    await hands.run(job, Failed("KeyError:  " + "\u00e9" * 2000))
    await hands.queue.producer.restart(job.job_id)
    await hands.start(job)
    running = await hands.get(job)
    assert [(a.run, a.attempt, a.outcome) for a in running.attempts] == [
        (0, 1, "failed"), (0, 2, "failed"), (1, 1, None),
    ]  # fmt: skip
    assert (running.attempts[-1].ended_at, running.restarts) == (None, 1)
    await hands.queue.producer.cancel(job.job_id)
    await hands.queue.producer.restart(job.job_id)
    await hands.stop(job)
    await hands.run(job)
    found = await hands.get(job)
    assert [(a.run, a.attempt, a.outcome) for a in found.attempts] == [
        (0, 1, "failed"), (0, 2, "failed"), (1, 1, "cancelled"), (2, 1, "completed"),
    ]  # fmt: skip
    assert [a.error and a.error.partition(":")[0] for a in found.attempts] == ["ValueError", "KeyError", None, None]
    assert 200 < len(found.attempts[1].error or "") <= 500, "of a long error the beginning"
    assert {a.worker for a in found.attempts} == {"test"}
    times = [moment for a in found.attempts for moment in (a.started_at, a.ended_at or 0)]
    assert times == sorted(times) and begun <= times[0] and times[-1] <= time.time() * 1e6


async def test_the_history_ends_at_twenty(hands: Hands) -> None:
    job = new(max_attempts=40)
    await hands.add(job)
    for _ in range(25):
        await fail(hands, job)
        await come_due(hands, job)
    found = await hands.get(job)
    assert [a.attempt for a in found.attempts] == list(range(7, 26))
    await hands.run(job)
    found = await hands.get(job)
    assert [a.attempt for a in found.attempts] == list(range(7, 27))
    assert len(found.attempts) == MOST_ATTEMPTS
    assert [a.outcome for a in found.attempts[-2:]] == ["failed", "completed"]


# RQ's words for it


async def test_stock_tools_see_the_retries_of_our_jobs(hands: Hands) -> None:
    job, plain = new(max_attempts=4, backoff_seconds=2.0, backoff_max_seconds=5.0), new()
    await hands.add(job, plain)

    def seen(of: NewJob) -> StockJob:
        return StockJob.fetch(of.job_id, connection=hands.client, serializer=JSONSerializer)

    assert (seen(job).retries_left, seen(job).retry_intervals) == (3, [2, 4, 5])
    assert (seen(plain).retries_left, seen(plain).retry_intervals) == (None, None)
    await fail(hands, job)
    assert (seen(job).retries_left, seen(job).get_status()) == (2, "scheduled")
    await come_due(hands, job)
    await hands.run(job, Failed("x", permanent=True))
    await hands.queue.producer.restart(job.job_id)
    assert (seen(job).retries_left, seen(job).get_status()) == (3, "queued")


async def test_the_retries_of_a_stock_job_are_its_own(hands: Hands, stock: rq.Queue) -> None:
    made = stock.enqueue("math.hypot", 3, 4, retry=rq.Retry(max=2, interval=[5, 10]))
    at_once = stock.enqueue("math.hypot", 3, 4, retry=rq.Retry(max=1))
    plain = stock.enqueue("math.hypot", 3, 4)
    for seconds, left in ((5, 1), (10, 0)):
        delay = delay_of(hands, made.id, await fail(hands, made.id))
        assert seconds - 0.1 <= delay <= seconds + 0.25
        assert made.get_status() == "scheduled"
        found = await hands.get(made.id)
        assert (found.state, found.retries_left) == ("pending", left)
        await come_due(hands, made.id)
    await fail(hands, made.id)
    await hands.end(at_once.id, ERROR)
    assert hands.status(at_once.id) == "queued", "no interval: at once"
    await fail(hands, at_once.id)
    await fail(hands, plain.id)
    assert await hands.states(made.id, at_once.id, plain.id) == ["failed"] * 3


@pytest.mark.parametrize("interval", [0, 5, [3, 5], [2], []], ids=str)
async def test_a_stock_job_repeats_as_often_as_it_was_told(hands: Hands, stock: rq.Queue, interval: Any) -> None:
    times = 3
    made = stock.enqueue("math.hypot", 3, 4, repeat=rq.Repeat(times=times, interval=interval), result_ttl=77)
    listed = (interval or [0]) if isinstance(interval, list) else [interval]
    for number in range(times):
        await hands.start(made.id)
        since = time.time()
        await hands.end(made.id, Completed(number))
        made.refresh()
        assert made.repeats_left == times - number - 1
        assert made.latest_result().return_value == number
        seconds = listed[min(number, len(listed) - 1)]
        if seconds:
            assert (made.get_status(), (await hands.get(made.id)).state) == ("scheduled", "scheduled")
            assert abs(delay_of(hands, made.id, since) - seconds) < 0.3
            await come_due(hands, made.id)
        assert made.get_status() == "queued"
        assert hands.client.ttl(f"rq:job:{made.id}") == -1
    await hands.run(made.id, Completed("last"))
    found = await hands.queue.inspector.get(made.id, result=True)
    assert (found.state, found.result, found.restarts) == ("completed", "last", 0)
    assert [a.outcome for a in found.attempts] == ["completed"] * (times + 1)
    assert 0 < hands.client.ttl(f"rq:job:{made.id}") <= 77


async def test_the_dependents_of_a_job_that_repeats_wait_for_its_first_success(hands: Hands, stock: rq.Queue) -> None:
    made = stock.enqueue("math.hypot", 3, 4, repeat=rq.Repeat(times=1, interval=100))
    await hands.tick()
    ours = [new("default_user", depends_on=[made.id]) for _ in range(130)]
    theirs = stock.enqueue("math.hypot", 3, 4, depends_on=made)
    await hands.add(*ours)
    assert hands.client.zcard("rq:deferred:default") == 131
    await hands.run(made.id)
    await hands.tick_through()
    assert hands.client.zcard("rq:deferred:default") == 0
    assert (made.get_status(), theirs.get_status()) == ("scheduled", "queued")


async def test_a_stock_job_that_fails_repeats_no_more(hands: Hands, stock: rq.Queue) -> None:
    made = stock.enqueue("math.hypot", 3, 4, repeat=rq.Repeat(times=3))
    await hands.run(made.id)
    await hands.run(made.id, ERROR)
    assert await hands.states(made.id) == ["failed"]


# nonsense

DAMAGE = {
    "x_backoff": ["?", "a b", "1 x", "nan nan", "1e999 1e999", "-1 -1"],
    "retries_left": ["many", "1e999", "-3", "0.5"],
    "retry_intervals": ["?", '"x"', "{}", '["x", [1], null]', "[NaN]", "[1e999]", "[" * 2000],
    "repeat_intervals": ["?", '["x"]', "[1, 1e999]", "[NaN, NaN]", "[-5]", "[1e30]"],
    "repeats_left": ["many", "1e999", "nan", "0.5"],
    "x_history": ["?", "\n" * 5000, "\xff", "[]\n{}\n7"],
}


@pytest.mark.parametrize(("field", "value"), [(name, value) for name, values in DAMAGE.items() for value in values])
async def test_nonsense_in_a_record_holds_up_nobody_else(hands: Hands, stock: rq.Queue, field: str, value: str) -> None:
    of_stock = field.startswith("re")
    bad = stock.enqueue("math.hypot", 3, 4, retry=rq.Retry(max=2, interval=1), repeat=rq.Repeat(times=2, interval=1)).id
    ours = new("bob", max_attempts=3)
    one, two = new("cat", max_attempts=2), new("dan")
    await hands.add(ours, one, two)
    await hands.start(bad, ours, one, two)
    hands.client.hset(f"rq:job:{bad if of_stock else ours.job_id}", field, value)
    outcomes = {one.job_id: ERROR, two.job_id: Completed(1), ours.job_id: ERROR}
    outcomes[bad] = Completed(1) if field.startswith("repeat") else ERROR
    await hands.end_together({job_id: outcomes[job_id] for job_id in (bad, ours.job_id, one.job_id, two.job_id)})
    assert await hands.states(one, two) == ["pending", "completed"]
    assert not {"running"} & set(await hands.states(bad, ours))
    assert hands.client.zcard("rq:x:leases") == 0
    hands.client.flushall()

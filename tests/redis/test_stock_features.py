"""What stock producers of RQ ask of a job, done by our worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import rq
import stock_functions as functions
from conftest import ValkeyServer, settings_for
from hands import Hands
from rq.job import Callback, JobStatus
from rq.results import Result

from jobqueue import Claimed, Completed, Failed, Halted, JobQueue, Lane, Outcome, Released, Settings
from jobqueue.consumer import Ended
from jobqueue.errors import QueueUnavailable
from jobqueue.stock import StockJobs
from worker.job_runner import JobRun


class Worker:
    """The parts of our worker that run a job, one job after the other."""

    def __init__(self, queue: JobQueue, valkey: ValkeyServer, *, pickle: str, allowed: tuple[str, ...]) -> None:
        settings = Settings()
        changed = settings.worker.model_copy(update={"pickle": pickle, "allowed_functions": allowed})
        self.settings = settings.model_copy(update={"worker": changed})
        self.stock_jobs = StockJobs(valkey.url, queue.namespace)
        self.lane = Lane(queue.namespace, "test", 0, ("default",), 60_000_000, trust_pickles=pickle == "trusted")

    async def work(self) -> int:
        """Until nothing waits; the number of attempts."""
        ended: list[Ended] = []
        for count in range(100):
            batch = await self.lane.advance(ended, 1)
            if not batch.jobs:
                return count
            job = batch.jobs[0]
            outcome = await JobRun(job, self.settings, lambda note: None, self.stock_jobs).run()
            assert outcome is not None
            ended = [Ended(job, outcome)]
        raise AssertionError("it does not end")


@pytest.fixture
async def worker(queue: JobQueue, valkey: ValkeyServer, hands: Hands) -> AsyncIterator[Worker]:
    made = Worker(queue, valkey, pickle="trusted", allowed=("stock_functions.*", "builtins.*"))
    yield made
    made.stock_jobs.close()


@pytest.fixture(params=["json", "pickle"])
def queue_of_rq(valkey: ValkeyServer, request: pytest.FixtureRequest) -> rq.Queue:
    return rq.Queue("default", connection=valkey.client, serializer=request.param)


def told(valkey: ValkeyServer, job: rq.job.Job) -> list[str]:
    return [text.decode() for text in valkey.client.lrange(f"told:{job.id}", 0, -1)]


async def test_get_current_job_answers(worker: Worker, queue_of_rq: rq.Queue) -> None:
    for function in (functions.current_id, functions.current_id_later):
        job = queue_of_rq.enqueue(function)
        await worker.work()
        assert job.return_value(refresh=True) == job.id
    job = queue_of_rq.enqueue(functions.note_meta)
    await worker.work()
    job.refresh()
    assert (job.get_status(), job.meta) == (JobStatus.FINISHED, {"seen": True})


@pytest.mark.parametrize("function", [functions.add, functions.add_later])
async def test_a_success_callback(worker: Worker, queue_of_rq: rq.Queue, valkey: ValkeyServer, function: Any) -> None:
    job = queue_of_rq.enqueue(function, 1, other=2, on_success=Callback(functions.told))
    await worker.work()
    assert (job.get_status(), told(valkey, job)) == (JobStatus.FINISHED, ["finished", "3"])


async def test_a_failure_callback(worker: Worker, queue_of_rq: rq.Queue, valkey: ValkeyServer) -> None:
    job = queue_of_rq.enqueue(functions.break_down, on_failure=Callback(functions.told))
    await worker.work()
    assert job.get_status() == JobStatus.FAILED
    assert told(valkey, job) == ["failed", "<class 'ValueError'>", "ValueError('it broke')"]


async def test_a_success_callback_that_breaks_makes_the_job_fail(
    worker: Worker, queue_of_rq: rq.Queue, valkey: ValkeyServer
) -> None:
    job = queue_of_rq.enqueue(
        functions.add, 1, on_success=Callback(functions.refuse), on_failure=Callback(functions.told)
    )
    await worker.work()
    result = job.latest_result()
    assert result is not None and "the callback broke" in str(result.exc_string)
    assert told(valkey, job)[0] == "failed"


async def test_a_callback_that_is_not_allowed_is_refused_in_words(
    worker: Worker, queue_of_rq: rq.Queue, hands: Hands
) -> None:
    job = queue_of_rq.enqueue(functions.add, 1, on_success=Callback("os.getcwd"))
    await worker.work()
    assert (await hands.get(job.id)).error == "FunctionNotAllowed: os.getcwd is not in worker.allowed_functions"


async def test_a_returned_retry(worker: Worker, queue_of_rq: rq.Queue, hands: Hands) -> None:
    job = queue_of_rq.enqueue(functions.ask_again, 2)
    assert await worker.work() == 3
    found = await hands.get(job.id)
    assert found.state == "failed" and found.error is not None and found.error.startswith("MaxRetriesExceeded")
    kinds = [result.type for result in job.results()]
    assert kinds == [Result.Type.MAX_RETRIES_EXCEEDED, Result.Type.RETRIED, Result.Type.RETRIED]
    job.refresh()
    assert job.number_of_retries == 2


async def test_a_returned_retry_with_intervals(worker: Worker, queue_of_rq: rq.Queue, hands: Hands) -> None:
    job = queue_of_rq.enqueue(functions.ask_again, 2, [60, 120])
    now = hands.now() // 1_000_000
    for seconds in (60, 120):
        await worker.work()
        assert job.get_status() == JobStatus.SCHEDULED
        due = hands.client.zscore("rq:scheduled:default", job.id)
        assert due is not None and seconds <= due - now < seconds + 30
        hands.let_due(job.id)
        await hands.tick()


async def test_methods_and_callable_objects_of_trusted_pickles(worker: Worker, valkey: ValkeyServer) -> None:
    queue = rq.Queue("default", connection=valkey.client)
    tool = functions.Tool(3)
    jobs = [queue.enqueue(tool.times, 4), queue.enqueue(tool, 4), queue.enqueue(functions.Tool.double, 4)]
    await worker.work()
    assert [job.return_value(refresh=True) for job in jobs] == [12, 7, 8]


async def test_an_instance_needs_trust(queue: JobQueue, valkey: ValkeyServer, hands: Hands) -> None:
    job = rq.Queue("default", connection=valkey.client).enqueue(functions.Tool(3).times, 4)
    await Worker(queue, valkey, pickle="plain", allowed=("*",)).work()
    assert "stock_functions.Tool, which is refused" in str((await hands.get(job.id)).error)


async def test_a_job_that_is_deleted_leaves_its_group(worker: Worker, valkey: ValkeyServer) -> None:
    queue = rq.Queue("default", connection=valkey.client)
    group = rq.group.Group.create(connection=valkey.client, name="g")
    jobs = group.enqueue_many(queue, [rq.Queue.prepare_data(functions.add, (1,), result_ttl=0) for _ in range(2)])
    assert valkey.client.scard("rq:group:g") == len(jobs) == 2
    await worker.work()
    assert valkey.client.scard("rq:group:g") == 0


async def test_webhooks_are_not_called_and_the_record_says_so(
    worker: Worker, queue_of_rq: rq.Queue, hands: Hands
) -> None:
    job = queue_of_rq.enqueue(functions.add, 1)
    hands.client.hset(f"rq:job:{job.id}", "webhooks", '[{"url": "http://localhost"}]')
    await worker.work()
    found = await hands.get(job.id)
    assert (found.state, found.reason) == ("completed", "its webhooks are not called: workers of this queue call none")


async def begin(worker: Worker) -> tuple[Claimed, JobRun, asyncio.Task[Outcome | None]]:
    """The next job runs."""
    (claimed,) = (await worker.lane.advance([], 1)).jobs
    run = JobRun(claimed, worker.settings, lambda note: None, worker.stock_jobs)
    functions.waiting = asyncio.Event()
    task = asyncio.create_task(run.run(), name="run")
    async with asyncio.timeout(10):
        await functions.waiting.wait()
    return claimed, run, task


async def test_a_job_stopped_by_command_is_cancelled_for_us_and_stopped_for_rq(
    worker: Worker, queue_of_rq: rq.Queue, valkey: ValkeyServer, hands: Hands
) -> None:
    job = queue_of_rq.enqueue(functions.wait_long, on_stopped=Callback(functions.told), retry=rq.Retry(3))
    claimed, run, task = await begin(worker)
    run.halt()
    outcome = await task
    assert outcome == Halted()
    await worker.lane.advance([Ended(claimed, outcome)], 0)
    assert (job.get_status(), told(valkey, job)) == (JobStatus.STOPPED, ["stopped"])
    result = job.latest_result()
    assert result is not None and result.type == Result.Type.FAILED
    assert str(result.exc_string).startswith("Job stopped by user")
    assert job.id in rq.registry.FailedJobRegistry(queue=queue_of_rq).get_job_ids()
    found = await hands.get(job.id)
    assert (found.state, found.reason) == ("cancelled", Halted().error)


async def test_a_job_stopped_before_it_began_calls_back_too(
    worker: Worker, queue_of_rq: rq.Queue, valkey: ValkeyServer
) -> None:
    job = queue_of_rq.enqueue(functions.wait_long, on_stopped=Callback(functions.told))
    (claimed,) = (await worker.lane.advance([], 1)).jobs
    run = JobRun(claimed, worker.settings, lambda note: None, worker.stock_jobs)
    run.halt()
    assert await run.run() == Halted()
    assert told(valkey, job) == ["stopped"]


async def test_a_callback_that_may_not_run_keeps_no_job_from_being_stopped(
    worker: Worker, queue_of_rq: rq.Queue, caplog: pytest.LogCaptureFixture
) -> None:
    queue_of_rq.enqueue(functions.wait_long, on_stopped=Callback(functions.told))
    (claimed,) = (await worker.lane.advance([], 1)).jobs
    none = worker.settings.worker.model_copy(update={"allowed_functions": ()})
    settings = worker.settings.model_copy(update={"worker": none})
    run = JobRun(claimed, settings, lambda note: None, worker.stock_jobs)
    run.halt()
    assert await run.run() == Halted()
    assert "FunctionNotAllowed: stock_functions.told" in caplog.text


@pytest.mark.parametrize("mode", ["thread", "process"])
async def test_a_job_whose_record_cannot_be_read_now_goes_back(
    worker: Worker, queue_of_rq: rq.Queue, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """An outage is no error of the job."""
    queue_of_rq.enqueue(functions.add, 1, other=2, on_success=Callback(functions.told))
    (claimed,) = (await worker.lane.advance([], 1)).jobs
    changed = worker.settings.worker.model_copy(update={"function_mode": mode})
    settings = worker.settings.model_copy(update={"worker": changed})

    async def no_answer(_: str) -> Any:
        raise QueueUnavailable("no answer")

    monkeypatch.setattr(worker.stock_jobs, "_record", no_answer)
    run = JobRun(claimed, settings, lambda note: None, worker.stock_jobs)
    assert await run.run() == Released()


async def test_kill_horse_is_a_failed_attempt(worker: Worker, queue_of_rq: rq.Queue, hands: Hands) -> None:
    job = queue_of_rq.enqueue(functions.wait_long)
    claimed, run, task = await begin(worker)
    run.kill()
    outcome = await task
    assert isinstance(outcome, Failed)
    await worker.lane.advance([Ended(claimed, outcome)], 0)
    assert (job.get_status(), (await hands.get(job.id)).error) == (JobStatus.FAILED, outcome.error)


async def test_a_dependent_may_come_to_the_front(hands: Hands, queue_of_rq: rq.Queue) -> None:
    parent = queue_of_rq.enqueue("a.b")
    for name, front in (("second", False), ("first", True)):
        wish = rq.job.Dependency(jobs=[parent], enqueue_at_front=front)
        queue_of_rq.enqueue("a.b", job_id=name, depends_on=wish)
    assert await hands.take(1) == [parent.id]
    await hands.end(parent.id)
    assert queue_of_rq.job_ids == ["first", "second"]
    assert await hands.take() == ["first", "second"]
    await hands.end_together({"first": Completed(1), "second": Completed(1)})


@pytest.mark.parametrize(("default", "kept"), [("500", (400, 500)), ("77", (1, 77)), ("-1", (-1, -1))])
async def test_a_worker_has_a_default_for_results(
    valkey: ValkeyServer, tmp_path: Path, queue_of_rq: rq.Queue, default: str, kept: tuple[int, int]
) -> None:
    settings = settings_for(valkey.url, tmp_path, JOBQUEUE_WORKER_DEFAULT_RESULT_TTL_SECONDS=default)
    opened = await JobQueue.open(settings, name="test")
    await opened.register_worker()
    hands = Hands(opened, valkey.client)
    plain, own = queue_of_rq.enqueue("a.b"), queue_of_rq.enqueue("a.b", result_ttl=1000)
    await hands.take()
    await hands.end_together({plain.id: Completed(1), own.id: Completed(1)})
    assert kept[0] <= valkey.client.ttl(plain.key) <= kept[1]
    assert 900 <= valkey.client.ttl(own.key) <= 1000
    await opened.close()

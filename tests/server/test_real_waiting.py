"""Each reason why a job waits, as it is read through HTTP over the real library, statement Q10."""

from __future__ import annotations

from typing import Any

import pytest
from working_hand import WorkingHand, get, submit

from jobqueue import Completed, Failed, Stopped
from jobqueue.job import Waiting
from server.answers import waiting_json

JOBS = "/api/v1/jobs"


async def reason(api: Any, job_id: str) -> tuple[str, str | None]:
    seen = (await get(api, job_id))["waiting"]
    assert set(seen) == {"reason", "detail", "ahead_own", "position", "eta_seconds"}
    return seen["reason"], seen["detail"]


async def test_api_Q10_no_worker(real: Any) -> None:
    assert await reason(real, await submit(real)) == ("no_worker", "no worker serves the queue default")


async def test_api_Q10_not_due_and_behind_others(real: Any, worker: WorkingHand) -> None:
    later, now = await submit(real, delay_seconds=1000), await submit(real)
    assert await reason(real, later) == ("scheduled", None)
    assert await reason(real, now) == ("behind_others", None)
    claimed = await worker.claim()
    assert claimed.job_id == now
    assert (await get(real, now))["waiting"] is None, "it runs"
    await worker.finish(claimed, Completed())
    assert (await get(real, now))["waiting"] is None, "it has ended"


async def test_api_Q10_at_the_limit_of_the_user_of_all_and_of_a_type(real: Any, worker: WorkingHand) -> None:
    await worker.queue.control.set_limits(total=2, per_user=1)
    first, second = await submit(real, user_id="ann"), await submit(real, user_id="ann")
    claimed = await worker.claim_many()
    assert [job.job_id for job in claimed] == [first]
    assert await reason(real, second) == ("user_limit", None)
    await submit(real, user_id="bob")
    claimed += await worker.claim_many()
    third = await submit(real, user_id="eve")
    assert await reason(real, third) == ("global_limit", None)
    await worker.queue.control.set_limits(total=10, types={"extraction": 2})
    assert await worker.claim_many() == []
    assert await reason(real, third) == ("type_limit", None)
    for job in claimed:
        await worker.finish(job, Completed())
    await worker.finish_all()


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        ("queue", "", "everything is paused"),
        ("user", "ann", "jobs of this user are paused"),
        ("type", "extraction", "jobs of this type are paused"),
    ],
)
async def test_api_Q6_Q10_paused(real: Any, worker: WorkingHand, kind: Any, name: str, words: str) -> None:
    job_id = await submit(real, user_id="ann")
    await worker.queue.control.pause(kind, name)
    assert await reason(real, job_id) == ("paused", words)


async def test_api_Q3_Q10_a_dependency_and_a_back_off(real: Any, worker: WorkingHand) -> None:
    parent = await submit(real, max_attempts=2, backoff_seconds=1000, backoff_max_seconds=1000)
    child = await submit(real, depends_on=[parent])
    assert await reason(real, child) == ("dependency", f"waits for {parent}")
    await worker.finish(await worker.claim(), Failed("it broke"))
    assert await reason(real, parent) == ("retry_backoff", None)
    assert await reason(real, child) == ("dependency", f"waits for {parent}"), "it has an attempt left"


async def test_api_Q10_restarted_while_its_cancelled_execution_stops(real: Any, worker: WorkingHand) -> None:
    job_id = await submit(real)
    claimed = await worker.claim()
    for verb in ("cancel", "restart"):
        assert (await real.post(f"{JOBS}/{verb}/{job_id}"))[0] == 200
    assert await reason(real, job_id) == ("stopping_previous", None)
    assert await worker.claim_many() == []
    assert await worker.verdict(claimed, Stopped()) == "cancelled"
    assert await reason(real, job_id) == ("behind_others", None)
    await worker.finish_all()
    attempts = (await get(real, job_id))["attempts"]
    assert [(a["run"], a["attempt"], a["outcome"]) for a in attempts] == [(0, 1, "cancelled"), (1, 1, "completed")]


def test_a_dependency_whose_jobs_have_all_ended_has_words_too() -> None:
    seen = waiting_json(Waiting(reason="dependency", detail=""))
    assert seen["detail"] == "the jobs that it depends on have ended"

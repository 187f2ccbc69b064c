"""Long-poll, statements D1 to D14."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest
from conftest import eventually
from document_examples import JOB, STATUS, assert_same_shape
from fake_queue import AWAY, FakeQueue

from server.app_keys import HUB
from server.polling import parse_wish

PATH = f"/api/v1/jobs/status/{JOB}/poll"


async def watched_by(api: Any, count: int) -> None:
    async def reached() -> bool:
        return bool(api.app[HUB].watchers == count)

    await eventually(reached, f"{count} watchers")


async def begin_poll(api: Any, query: str = "") -> asyncio.Task[tuple[int, Any]]:
    before = api.app[HUB].watchers
    task = asyncio.ensure_future(api.get(PATH + query))
    await watched_by(api, before + 1)
    return task


async def test_api_D1_unknown_job_at_once(api: Any) -> None:
    async with asyncio.timeout(2):
        assert (await api.get(PATH + "?timeout=30"))[0] == 404


@pytest.mark.parametrize("known", ["running", "PENDING", "nonsense", ""])
async def test_api_D2_D7_other_status_at_once(api: Any, fake: FakeQueue, known: str) -> None:
    fake.add(JOB)
    started = time.perf_counter()
    status, body = await api.get(f"{PATH}?current_status={known}")
    assert time.perf_counter() - started < 1
    assert (status, body["status"]) == (200, "pending")


async def test_api_D3_waits_for_the_status(api: Any, fake: FakeQueue) -> None:
    fake.add(JOB)
    poll = await begin_poll(api, "?current_status=pending")
    changed = time.perf_counter()
    fake.change(JOB, "running")
    status, body = await poll
    assert time.perf_counter() - changed < 0.1
    assert (status, body["status"]) == (200, "running")


async def test_api_D3_timeout_answers_200(api: Any, fake: FakeQueue) -> None:
    fake.add(JOB)
    started = time.perf_counter()
    status, body = await api.get(PATH + "?current_status=pending&timeout=0.2")
    assert 0.2 <= time.perf_counter() - started < 2
    assert (status, body["status"]) == (200, "pending")


async def test_api_D4_progress_does_not_wake(api: Any, fake: FakeQueue) -> None:
    fake.add(JOB, "running")
    poll = await begin_poll(api)
    patient = await begin_poll(api, "?wake_on=progress")
    fake.progress(JOB, 0.5)
    assert (await patient)[1]["progress"] == 0.5
    assert not poll.done()
    fake.change(JOB, "completed", progress=1.0)
    assert (await poll)[1]["status"] == "completed"


async def test_api_D5_without_current_status(api: Any, fake: FakeQueue) -> None:
    fake.add(JOB, "failed", error="x")
    assert (await api.get(PATH))[1]["status"] == "failed"
    poll = await begin_poll(api, "?current_status=failed")
    assert (await api.post(f"/api/v1/jobs/restart/{JOB}"))[0] == 200
    assert (await poll)[1]["status"] == "pending"


@pytest.mark.parametrize("text", ["x", "", "nan", "inf", "-1", "300.1", "1_0", "%D9%A3", "0x10", "1,5"])
@pytest.mark.parametrize("query", ["?timeout={}", "?wake_on=status&timeout={}"])
async def test_api_D6_bad_timeouts(api: Any, fake: FakeQueue, text: str, query: str) -> None:
    fake.add(JOB)
    status, body = await api.get(PATH + query.format(text))
    assert (status, body["error"], body["job_id"]) == (400, "InvalidParameterError", JOB)
    assert body["details"][0]["loc"] == ["timeout"]
    assert "timeout" in body["message"]


@pytest.mark.parametrize("text", ["0", "0.0", "0.01", "1e-2"])
async def test_api_D6_good_timeouts(api: Any, fake: FakeQueue, text: str) -> None:
    fake.add(JOB)
    assert (await api.get(f"{PATH}?timeout={text}"))[0] == 200


@pytest.mark.parametrize(("query", "seconds"), [({}, 30.0), ({"timeout": "300"}, 300.0), ({"timeout": "0.25"}, 0.25)])
def test_api_D6_how_long_a_poll_waits(query: dict[str, str], seconds: float) -> None:
    assert parse_wish(query).seconds == seconds


async def test_bad_wake_on(api: Any, fake: FakeQueue) -> None:
    fake.add(JOB)
    assert (await api.get(f"{PATH}?wake_on=colour"))[0] == 400


async def test_api_D9_w1_a_change_between_the_read_and_the_wait_wakes(api: Any, fake: FakeQueue) -> None:
    """The job changes when the poll's first read has looked already but has not answered yet."""
    fake.add(JOB)

    async def change_once() -> None:
        fake.after_read = None
        fake.change(JOB, "running")

    fake.after_read = change_once
    async with asyncio.timeout(2):
        assert (await api.get(f"{PATH}?current_status=pending"))[1]["status"] == "running"


async def test_api_D9_a_change_before_the_read_is_seen_by_it(api: Any, fake: FakeQueue) -> None:
    fake.add(JOB)

    async def change_once() -> None:
        fake.before_read = None
        fake.change(JOB, "running")

    fake.before_read = change_once
    async with asyncio.timeout(2):
        assert (await api.get(f"{PATH}?current_status=pending"))[1]["status"] == "running"


async def test_api_D10_there_and_back_wakes(api: Any, fake: FakeQueue) -> None:
    fake.add(JOB)
    poll = await begin_poll(api, "?current_status=pending")
    fake.change(JOB, "running")
    fake.change(JOB, "pending")
    async with asyncio.timeout(2):
        assert (await poll)[1]["status"] == "pending"


async def test_api_D10_there_and_back_in_a_gap_wakes(api: Any, fake: FakeQueue) -> None:
    fake.add(JOB)
    poll = await begin_poll(api, "?current_status=pending")
    fake.events.muted = True
    fake.change(JOB, "running")
    fake.change(JOB, "pending")
    fake.events.gap()
    async with asyncio.timeout(2):
        assert (await poll)[1]["status"] == "pending"


async def test_sec_W2_a_gap_is_repaired_by_reading(api: Any, fake: FakeQueue) -> None:
    fake.add(JOB)
    poll = await begin_poll(api, "?current_status=pending")
    fake.events.muted = True
    fake.change(JOB, "running")
    fake.events.gap()
    async with asyncio.timeout(2):
        assert (await poll)[1]["status"] == "running"


async def test_api_C2_a_stock_worker_changes_the_record_only(api: Any, fake: FakeQueue) -> None:
    job = fake.add(JOB)
    poll = await begin_poll(api, "?current_status=pending")
    fake.jobs[JOB] = replace(job, state="running")
    fake.events.gap()
    async with asyncio.timeout(2):
        assert (await poll)[1]["status"] == "running"


async def test_without_events_reading_goes_on(api: Any, fake: FakeQueue) -> None:
    fake.events.subscribed = False
    fake.events.muted = True
    fake.add(JOB)
    poll = await begin_poll(api, "?current_status=pending")
    fake.change(JOB, "running")
    async with asyncio.timeout(5):
        assert (await poll)[1]["status"] == "running"


async def test_api_D11_a_thousand_polls_cost_nothing_while_they_wait(api: Any, fake: FakeQueue) -> None:
    fake.add(JOB)
    polls = [asyncio.ensure_future(api.get(f"{PATH}?current_status=pending")) for _ in range(1000)]
    await watched_by(api, 1000)
    fake.add("other")
    await api.get("/api/v1/jobs/status/other")
    reads = len(fake.reads)
    fake.add("unrelated")
    changed = time.perf_counter()
    fake.change(JOB, "running")
    answers = await asyncio.gather(*polls)
    assert {(status, body["status"]) for status, body in answers} == {(200, "running")}
    assert len(fake.reads) - reads < 20
    assert time.perf_counter() - changed < 10
    assert (fake.events.started, len(fake.events.changed)) == (1, 1)
    assert api.app[HUB].watchers == api.app[HUB].snapshots == 0


async def test_api_D12_a_client_that_leaves_frees_everything(api: Any, fake: FakeQueue) -> None:
    fake.add(JOB)
    poll = await begin_poll(api)
    poll.cancel()
    await watched_by(api, 0)
    assert api.app[HUB].snapshots == 0


async def test_api_D12_shutdown_answers(api: Any, fake: FakeQueue) -> None:
    fake.add(JOB, progress=0.25)
    poll = await begin_poll(api)
    await api.runner.cleanup()
    status, body = await poll
    assert (status, body["status"], body["progress"]) == (200, "pending", 0.25)
    assert fake.closed


async def test_api_D13_job_deleted_while_waiting(api: Any, fake: FakeQueue) -> None:
    fake.add(JOB, "failed")
    poll = await begin_poll(api, "?current_status=failed")
    fake.expire(JOB)
    fake.events.gap()
    async with asyncio.timeout(2):
        status, body = await poll
    assert (status, body["error"]) == (404, "JobNotFoundError")


async def test_api_D14_same_body_as_status(api: Any, fake: FakeQueue) -> None:
    fake.add(JOB, "running", progress=0.75)
    _, body = await api.get(f"{PATH}?timeout=0")
    assert_same_shape(STATUS, body)
    assert body == (await api.get(f"/api/v1/jobs/status/{JOB}"))[1]


async def test_sec_N8_queue_away_at_the_end(api: Any, fake: FakeQueue) -> None:
    fake.add(JOB)
    poll = await begin_poll(api, "?timeout=0.2")
    fake.down = AWAY
    assert (await poll)[0] == 503


async def test_sec_A16_too_many_watchers(api: Any, fake: FakeQueue) -> None:
    fake.add(JOB)
    api.app[HUB]._most_watchers = 1
    poll = await begin_poll(api)
    status, body, response = await api.call("GET", PATH)
    assert (status, body["error"]) == (429, "TooManyRequestsError")
    assert "Retry-After" in response.headers
    fake.change(JOB, "running")
    await poll
    assert (await api.get(f"{PATH}?timeout=0"))[0] == 200

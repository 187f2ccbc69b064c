"""Recurring schedules over HTTP and the real library."""

from __future__ import annotations

import time
import uuid
from typing import Any

import pytest
from conftest import ValkeyServer, eventually
from test_errors import assert_error
from working_hand import WorkingHand, get

from jobqueue import Completed, JobQueue, Settings
from jobqueue.keys import Keys

PATH = "/api/v1/jobs/schedules"
DAILY = {"job_type": "extraction", "cron": "30 2 * * *", "timezone": "Europe/Berlin"}
INTERVAL = {"job_type": "extraction", "interval_seconds": 3600}
KEYS = Keys()


async def create(api: Any, **body: Any) -> dict[str, Any]:
    status, answer, response = await api.call("POST", PATH, json={**INTERVAL, **body})
    assert status == 201, answer
    assert response.headers["Location"] == f"{PATH}/{answer['schedule_id']}"
    return dict(answer)


async def look(api: Any, schedule_id: str) -> dict[str, Any]:
    status, body = await api.get(f"{PATH}/{schedule_id}")
    assert status == 200
    return dict(body)


def make_due(valkey: ValkeyServer, schedule_id: str, seconds_ago: float = 1) -> None:
    seconds, micros = valkey.client.time()  # type: ignore[misc]
    valkey.client.zadd(KEYS.ticks, {schedule_id: seconds * 1_000_000 + micros - int(seconds_ago * 1_000_000)})


async def test_api_Q13_a_schedule_is_shown_as_it_was_given(real: Any) -> None:
    schedule_id = str(uuid.uuid4())
    given = {
        **DAILY,
        "parameters": {"source": "ä.txt", "chunk_size": 7},
        "user_id": "ann",
        "priority": "high",
        "missed": "once",
        "schedule_id": schedule_id.upper(),
        "name": "Nachts",
        "timeout_seconds": 77,
        "max_attempts": 3,
        "backoff_seconds": 0.5,
        "backoff_max_seconds": 60,
        "unique_key": "nightly",
        "expires_in": 600,
    }
    made = await create(real, interval_seconds=None, **given)
    assert {name: made[name] for name in given} == {**given, "schedule_id": schedule_id}
    assert made["interval_seconds"] is None and made["paused"] is False
    assert [made[name] for name in ("last_run_at", "last_job_id", "runs", "error")] == [None, None, 0, None]
    assert made["next_run_at"][11:] in ("00:30:00Z", "01:30:00Z"), "half past two in Berlin"
    assert made["created_at"] <= time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    assert await look(real, schedule_id) == made == await look(real, schedule_id.upper())
    assert await real.get(PATH) == (200, {"schedules": [made], "next_cursor": None})


async def test_defaults(real: Any, settings: Settings) -> None:
    made = await create(real)
    assert (made["user_id"], made["priority"], made["timezone"], made["missed"], made["name"], made["parameters"]) == (
        "default_user", "normal", "UTC", "skip", "", {},
    )  # fmt: skip
    kind = settings.job_types["extraction"]
    assert (made["timeout_seconds"], made["max_attempts"]) == (kind.timeout_seconds, kind.max_attempts)
    assert (made["cron"], made["unique_key"], made["expires_in"]) == (None, None, None)


async def test_the_server_runs_what_is_due(real: Any, worker: WorkingHand, valkey: ValkeyServer) -> None:
    made = await create(real, parameters={"source": "b.txt"}, user_id="ann", priority="low", max_attempts=2)
    make_due(valkey, made["schedule_id"])

    async def ran() -> bool:
        return bool((await look(real, made["schedule_id"]))["runs"])

    await eventually(ran, "the schedule has run")
    seen = await look(real, made["schedule_id"])
    assert seen["next_run_at"] > seen["last_run_at"] >= made["created_at"]
    job = await get(real, seen["last_job_id"])
    assert (job["job_type"], job["user_id"], job["priority"], job["status"]) == ("extraction", "ann", "low", "pending")
    claimed = await worker.claim()
    assert claimed.job_id == job["job_id"] and claimed.args == ["extraction", {"source": "b.txt"}]
    assert claimed.max_attempts == 2
    await worker.finish(claimed, Completed())
    assert (await real.get("/api/v1/jobs?user=ann"))[1]["jobs"][0]["job_id"] == job["job_id"]


async def test_api_Q13_pause_resume_run_and_remove(real: Any, valkey: ValkeyServer) -> None:
    made = await create(real)
    path = f"{PATH}/{made['schedule_id']}"
    for _ in range(2):
        status, paused = await real.post(f"{path}/pause")
        assert status == 200 and paused == {**made, "paused": True, "next_run_at": None}
    assert valkey.client.zscore(KEYS.ticks, made["schedule_id"]) is None
    status, answer, response = await real.call("POST", f"{path}/run")
    assert (status, answer["status"], answer["message"]) == (202, "pending", "Job submitted")
    assert response.headers["Location"] == f"/api/v1/jobs/status/{answer['job_id']}"
    assert (await get(real, answer["job_id"]))["job_type"] == "extraction"
    assert await look(real, made["schedule_id"]) == paused, "its ticks and counts are as before"
    status, resumed = await real.post(f"{path}/resume", {})
    assert status == 200 and not resumed["paused"] and resumed["next_run_at"] >= made["next_run_at"]
    assert await real.post(f"{path}/resume") == (200, resumed)
    status, body, _ = await real.call("DELETE", path)
    assert (status, body) == (200, {"schedule_id": made["schedule_id"], "message": "Schedule removed"})
    assert_error(await real.call("DELETE", path), 404, "ScheduleNotFoundError")
    assert (await get(real, answer["job_id"]))["status"] == "pending", "its jobs stay"
    assert (await real.get(PATH))[1]["schedules"] == []


async def test_run_is_safe_to_repeat_with_a_key(real: Any) -> None:
    path = f"{PATH}/{(await create(real, paused=True))['schedule_id']}/run"
    first = await real.post(path, headers={"Idempotency-Key": "k"})
    assert first[0] == 202 and await real.post(path, headers={"Idempotency-Key": "k"}) == first
    assert (await real.post(path))[1]["job_id"] != first[1]["job_id"]


async def test_create_is_safe_to_repeat_with_an_id(real: Any) -> None:
    schedule_id = str(uuid.uuid4())
    made = await create(real, schedule_id=schedule_id)
    assert await create(real, schedule_id=schedule_id) == made
    body = assert_error(
        await real.call("POST", PATH, json={**DAILY, "schedule_id": schedule_id}), 409, "ScheduleConflictError"
    )
    assert body["schedule_id"] == schedule_id
    assert await look(real, schedule_id) == made
    answer = await real.call("POST", PATH, json=INTERVAL, headers={"Idempotency-Key": "k"})
    assert assert_error(answer, 400, "InvalidParameterError")["details"][0]["loc"] == ["Idempotency-Key"]


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("colour", {"colour": "red"}),
        ("scheduled_time", {"scheduled_time": "2099-01-01T00:00:00Z"}),
        ("job_id", {"job_id": str(uuid.uuid4())}),
        ("cron", {"interval_seconds": None}),
        ("interval_seconds", {"cron": "* * * * *"}),
        *(("interval_seconds", {"interval_seconds": value}) for value in (0, -5, 10**9, 1.5, "60", True, [])),
        *(
            ("cron", {"interval_seconds": None, "cron": value})
            for value in ("", "* * * *", "61 * * * *", "every day", "0 0 30 2 *", "* " * 300, 5, ["* * * * *"])
        ),
        *(("timezone", {"timezone": value}) for value in ("", "Mars/Olympus", "../UTC", "x" * 9999, 5)),
        *(("missed", {"missed": value}) for value in ("", "twice", 1)),
        *(("schedule_id", {"schedule_id": value}) for value in ("", "x", "rq:x:ticks", 7)),
        *(("name", {"name": value}) for value in ("n" * 201, 5)),
        ("paused", {"paused": "yes"}),
        ("user_id", {"user_id": "a b"}),
        ("priority", {"priority": "top"}),
        ("timeout_seconds", {"timeout_seconds": 0}),
        ("max_attempts", {"max_attempts": 0}),
        ("parameters", {"parameters": []}),
        ("chunk_size", {"parameters": {"chunk_size": 0}}),
        ("surprise", {"parameters": {"surprise": 1}}),
    ],
    ids=repr,
)
async def test_api_Q13_what_is_wrong_is_named_and_nothing_is_stored(
    real: Any, valkey: ValkeyServer, field: str, change: dict[str, Any]
) -> None:
    body = assert_error(await real.call("POST", PATH, json={**INTERVAL, **change}), 400, "InvalidParameterError")
    assert field in [detail["loc"][-1] for detail in body["details"]]
    assert not valkey.client.keys("rq:x:schedule*") and not valkey.client.exists(KEYS.ticks)


async def test_an_unknown_type_is_refused(real: Any) -> None:
    body = assert_error(await real.call("POST", PATH, json={**INTERVAL, "job_type": "x"}), 400, "UnknownJobTypeError")
    assert body["known_types"]


async def test_a_type_that_is_gone_is_told(start: Any, settings: Settings) -> None:
    server = settings.server.model_copy(update={"tick_seconds": 0.02})
    with_type = settings.model_copy(update={"server": server})
    without = with_type.model_copy(update={"job_types": {}})
    queue = await JobQueue.open(without, name="server")
    opened = await JobQueue.open(with_type, name="tool")
    api = await start(without, queue)
    made = await create(await start(with_type, opened), paused=True)
    path = f"{PATH}/{made['schedule_id']}"
    body = assert_error(await api.call("POST", f"{path}/run"), 400, "UnknownJobTypeError")
    assert body["details"][0]["loc"] == ["job_type"]
    assert (await api.get(path))[1]["job_type"] == "extraction", "it can still be looked at"
    assert (await api.call("DELETE", path))[0] == 200


async def test_missed_ticks_are_told(real: Any, valkey: ValkeyServer) -> None:
    made = await create(real)
    make_due(valkey, made["schedule_id"], 7200)

    async def skipped() -> bool:
        return (await look(real, made["schedule_id"]))["error"] is not None

    await eventually(skipped, "the missed tick was skipped")
    seen = await look(real, made["schedule_id"])
    assert "was skipped" in seen["error"] and seen["runs"] == 0 and seen["next_run_at"] is not None


async def test_api_Q13_lists_by_user_and_page_by_page(real: Any) -> None:
    made = [await create(real, user_id="ann" if n % 2 else "bob") for n in range(5)]
    newest = [each["schedule_id"] for each in reversed(made)]
    found, cursor = [], ""
    while True:
        status, page = await real.get(f"{PATH}?limit=2&cursor={cursor}")
        assert status == 200 and len(page["schedules"]) <= 2
        found += [each["schedule_id"] for each in page["schedules"]]
        if page["next_cursor"] is None:
            break
        cursor = page["next_cursor"]
    assert found == newest
    of_ann = (await real.get(f"{PATH}?user=ann"))[1]["schedules"]
    assert of_ann == [each for each in reversed(made) if each["user_id"] == "ann"]
    assert (await real.get(f"{PATH}?user=eve"))[1] == {"schedules": [], "next_cursor": None}
    for query in ("limit=0", "limit=501", "cursor=x", "user=a%20b"):
        name = query.partition("=")[0]
        body = assert_error(await real.call("GET", f"{PATH}?{query}"), 400, "InvalidParameterError")
        assert body["details"][0]["loc"] == [name]

"""The list of jobs: filters, pages, and every wrong question."""

from __future__ import annotations

from typing import Any

import pytest
from document_examples import STATUS, assert_same_shape
from fake_queue import CREATED, FakeQueue

PATH = "/api/v1/jobs"
STATES = ("pending", "running", "scheduled", "completed", "failed", "cancelled")


def fill(fake: FakeQueue, count: int) -> list[str]:
    """Newest first."""
    for n in range(count):
        state: Any = STATES[n % len(STATES)]
        fake.add(f"job{n}", state, created_at=CREATED + n, user_id=f"u{n % 2}", job_type=f"t{n % 3}")
    return [f"job{n}" for n in reversed(range(count))]


async def ids(api: Any, query: str = "") -> list[str]:
    status, body = await api.get(PATH + query)
    assert status == 200, body
    return [job["job_id"] for job in body["jobs"]]


async def test_the_list_is_of_status_bodies_newest_first(api: Any, fake: FakeQueue) -> None:
    assert await api.get(PATH) == (200, {"jobs": [], "next_cursor": None})
    expected = fill(fake, 7)
    status, body = await api.get(PATH)
    assert (status, set(body), body["next_cursor"]) == (200, {"jobs", "next_cursor"}, None)
    assert [job["job_id"] for job in body["jobs"]] == expected
    for job in body["jobs"]:
        assert_same_shape(STATUS, job)
        assert job == (await api.get(f"{PATH}/status/{job['job_id']}"))[1]


async def test_pages_bring_each_job_once(api: Any, fake: FakeQueue) -> None:
    expected = fill(fake, 23)
    seen: list[str] = []
    cursor = ""
    for _ in range(10):
        _, body = await api.get(f"{PATH}?limit=5&cursor={cursor}")
        seen += [job["job_id"] for job in body["jobs"]]
        cursor = body["next_cursor"]
        if cursor is None:
            break
        assert isinstance(cursor, str)
    assert seen == expected and cursor is None


@pytest.mark.parametrize("state", STATES)
async def test_each_status_can_be_chosen(api: Any, fake: FakeQueue, state: str) -> None:
    fill(fake, 12)
    found = await ids(api, f"?status={state}")
    assert len(found) == 2
    assert {fake.jobs[job_id].state for job_id in found} == {state}


@pytest.mark.parametrize(
    "query", ["?status=failed,cancelled", "?status=failed&status=cancelled", "?status=cancelled,%20failed,&status="]
)
async def test_several_statuses(api: Any, fake: FakeQueue, query: str) -> None:
    fill(fake, 12)
    assert {fake.jobs[job_id].state for job_id in await ids(api, query)} == {"failed", "cancelled"}
    assert fake.pages[-1]["states"] == {"failed", "cancelled"}


async def test_type_and_user(api: Any, fake: FakeQueue) -> None:
    fill(fake, 12)
    assert {fake.jobs[job_id].job_type for job_id in await ids(api, "?type=t1")} == {"t1"}
    assert {fake.jobs[job_id].user_id for job_id in await ids(api, "?user=u1")} == {"u1"}
    found = await ids(api, "?type=t1&user=u1&status=completed,running")
    assert found == ["job7", "job1"]
    assert await ids(api, "?type=unknown") == []
    assert await ids(api, "?user=no-one@x.org") == []


async def test_what_is_empty_selects_nothing(api: Any, fake: FakeQueue) -> None:
    fill(fake, 3)
    assert len(await ids(api, "?status=&type=&user=&limit=50&cursor=")) == 3
    assert fake.pages[-1] == {"states": set(), "job_type": None, "user_id": None, "limit": 50}


@pytest.mark.parametrize("limit", [1, 500])
async def test_limits_of_the_limit(api: Any, fake: FakeQueue, limit: int) -> None:
    fill(fake, 3)
    assert len(await ids(api, f"?limit={limit}")) == min(3, limit)
    assert fake.pages[-1]["limit"] == limit


BAD = {
    "status": ("done", "PENDING", "pending,done", "pending&status=x", "%00", "*"),
    "limit": ("0", "501", "-1", "1.5", "x", "1e2", "%D9%A3", "+5", "1_0", "9" * 5000),
    "cursor": ("0", "-1", "x", "None", "f" * 14, "1" * 40, "1%00", "0x1", "A", "1.5"),
    "user": ("a%20b", "a%0a", "a:b", "a*", "%C3%A9", "u" * 65),
    "type": ("%00", "a%0ab", "t" * 256),
}
TWICE = [(f"{name}=1&{name}=1", name) for name in ("limit", "cursor", "user", "type")]


@pytest.mark.parametrize(
    ("query", "name"), [*((f"{name}={text}", name) for name, texts in BAD.items() for text in texts), *TWICE]
)
async def test_api_A4_bad_values_name_the_parameter(api: Any, fake: FakeQueue, query: str, name: str) -> None:
    status, body = await api.get(f"{PATH}?{query}")
    assert (status, body["error"]) == (400, "InvalidParameterError")
    assert [detail["loc"] for detail in body["details"]] == [[name]]
    assert name in body["message"] and body["message"].isprintable() and len(body["message"]) < 200
    if name == "status":
        assert all(state in body["message"] for state in STATES)
    assert not fake.pages

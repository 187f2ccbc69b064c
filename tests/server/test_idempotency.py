"""`Idempotency-Key`: asking again is safe, using a key for something else is told."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from document_examples import JOB
from fake_queue import AWAY, FakeQueue

SUBMIT = "/api/v1/jobs/submit"
WISH = {"job_type": "extraction", "parameters": {"chunk_size": 5}}


async def submit(api: Any, key: str, **body: Any) -> tuple[int, Any, str | None]:
    status, answer, response = await api.call("POST", SUBMIT, json={**WISH, **body}, headers={"Idempotency-Key": key})
    return status, answer, response.headers.get("Location")


async def test_the_same_again_is_answered_with_the_first_job(api: Any, fake: FakeQueue) -> None:
    first = await submit(api, "order-1")
    assert first[0] == 202 and first[2] == f"/api/v1/jobs/status/{first[1]['job_id']}"
    fake.change(first[1]["job_id"], "running")
    assert await submit(api, "order-1") == first
    assert await submit(api, "order-1", job_id=JOB) == first
    assert len(fake.new) == 1
    assert (await submit(api, "order-2"))[1]["job_id"] != first[1]["job_id"]


async def test_api_A4_another_body_is_422(api: Any, fake: FakeQueue) -> None:
    assert (await submit(api, "k"))[0] == 202
    for change in ({"parameters": {"chunk_size": 6}}, {"priority": "high"}, {"timeout_seconds": 5}):
        status, body, location = await submit(api, "k", **change)
        assert (status, body["error"], location) == (422, "IdempotencyConflictError", None)
        assert "Idempotency-Key" in body["message"]
    assert len(fake.new) == 1


async def test_api_B2_a_known_id_with_other_content_stays_409(api: Any, fake: FakeQueue) -> None:
    assert (await submit(api, "a", job_id=JOB))[0] == 202
    status, body, _ = await submit(api, "b", job_id=JOB, priority="low")
    assert (status, body["error"], body["job_id"]) == (409, "IdempotencyConflictError", JOB)


async def test_the_same_at_once_makes_one_job(api: Any, fake: FakeQueue) -> None:
    answers = await asyncio.gather(*(submit(api, "k") for _ in range(20)))
    assert all(answer == answers[0] for answer in answers) and answers[0][0] == 202
    assert len(fake.new) == 1


async def test_after_503_the_same_key_is_safe(api: Any, fake: FakeQueue) -> None:
    fake.down = AWAY
    assert (await submit(api, "k"))[0] == 503
    fake.down = None
    assert (await submit(api, "k"))[0] == 202
    assert len(fake.new) == 1


@pytest.mark.parametrize("key", ["!", "~", "k" * 255, '"quoted"', "8e03978e-40d5-43dd-bc93-6894a57f9324"])
async def test_good_keys(api: Any, fake: FakeQueue, key: str) -> None:
    assert (await submit(api, key))[0] == 202
    assert [once for _, once in fake.once] == [key]


@pytest.mark.parametrize("key", [b"", b" ", b"a b", b"k" * 256, b"\xc3\xa9", b"a\tb", b"x\r\nIdempotency-Key: y"])
async def test_api_A4_bad_keys_name_the_header(api: Any, fake: FakeQueue, key: bytes) -> None:
    head = b"POST /api/v1/jobs/submit HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    reader, writer = await api.raw(head + b"Idempotency-Key: " + key + b"\r\nContent-Length: 2\r\n\r\n{}")
    answer = await asyncio.wait_for(reader.readuntil(b"]}"), 10)
    writer.close()
    assert answer.split()[1] == b"400" and b'"error":"InvalidParameterError"' in answer
    assert b'"loc":["Idempotency-Key"]' in answer
    assert not fake.new

"""What is sent as raw bytes: broken, ambiguous, slow or half; the exact answer, then the end of the connection."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any

import pytest
from conftest import eventually
from fake_queue import FakeQueue
from wire_cases import EVERY, HOSTS

from jobqueue import Settings
from server import runner


async def received(reader: asyncio.StreamReader) -> bytes:
    """Everything until the server closes."""
    found = b""
    async with asyncio.timeout(10):
        try:
            while part := await reader.read(65536):
                found += part
        except ConnectionError:
            # It closed before it had read everything.
            pass
    return found


def statuses(text: bytes) -> list[int]:
    return [int(code) for code in re.findall(rb"(?:^|(?<=[\n}]))HTTP/\d\.\d (\d{3}) ", text)]


@pytest.mark.parametrize(("request_text", "expected"), [pytest.param(*case[1:], id=case[0]) for case in EVERY])
async def test_sec_A18_each_request_has_one_reading(
    api: Any, fake: FakeQueue, request_text: bytes, expected: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    fake.add("victim")
    reader, writer = await api.raw(request_text)
    answer = await received(reader)
    writer.close()
    assert statuses(answer) == expected
    assert fake.jobs["victim"].state == "pending"
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    if expected[-1] >= 400:
        assert b'{"error":"' in answer and b"aiohttp" not in answer and b"Traceback" not in answer


async def test_sec_A8_configured_names_are_own_and_all_others_foreign(
    start: Any, api_settings: Settings, fake: FakeQueue
) -> None:
    server = api_settings.server.model_copy(update={"allowed_hosts": ("Jobs.Example.org",)})
    api = await start(api_settings.model_copy(update={"server": server}), fake)
    for host, status in (("jobs.example.ORG:80", 200), ("localhost", 200), ("example.org", 421), ("evil.example", 421)):
        assert (await api.call("GET", "/health/live", headers={"Host": host}))[0] == status
    assert len(HOSTS) >= 8


@pytest.mark.parametrize("start_of_it", [b"", b"GET /health/live HTTP/1.1\r\nHost: loc"])
async def test_sec_A14_slow_heads_and_idle_connections_are_closed(
    start: Any, api_settings: Settings, fake: FakeQueue, start_of_it: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 15 <= runner.OPTIONS["keepalive_timeout"] <= 75
    monkeypatch.setitem(runner.OPTIONS, "keepalive_timeout", 0.2)
    api = await start(api_settings, fake)
    reader, writer = await api.raw(start_of_it)
    assert await received(reader) == b""
    writer.close()


async def test_sec_A14_a_connection_is_not_kept_for_ever_after_an_answer(
    start: Any, api_settings: Settings, fake: FakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(runner.OPTIONS, "keepalive_timeout", 0.2)
    api = await start(api_settings, fake)
    reader, writer = await api.raw(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert statuses(await received(reader)) == [200]
    writer.close()


@pytest.mark.parametrize("framing", [b"Content-Length: 25", b"Transfer-Encoding: chunked"])
async def test_sec_A15_a_body_that_drips_is_cut_off(
    start: Any, api_settings: Settings, fake: FakeQueue, framing: bytes
) -> None:
    server = api_settings.server.model_copy(update={"body_timeout_seconds": 0.2})
    api = await start(api_settings.model_copy(update={"server": server}), fake)
    head = b"POST /api/v1/jobs/submit HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    reader, writer = await api.raw(head + framing + b"\r\n\r\n")

    async def drip() -> None:
        while not writer.is_closing():
            writer.write(b" " if b"Length" in framing else b"1\r\n \r\n")
            await asyncio.sleep(0.05)

    dripping = asyncio.create_task(drip(), name="drip")
    assert statuses(await received(reader)) == [408]
    dripping.cancel()
    await asyncio.gather(dripping, return_exceptions=True)
    writer.close()
    assert not fake.new


@pytest.mark.parametrize(
    "request_text",
    [
        b"",
        b"GET /health/l",
        b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /api/v1/jobs/submit HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 25\r\n\r\n{",
        b"GET /api/v1/jobs/status/victim/stream HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
async def test_sec_A18_a_half_closed_socket_leaves_nothing(api: Any, fake: FakeQueue, request_text: bytes) -> None:
    fake.add("victim")
    reader, writer = await api.raw(request_text)
    writer.write_eof()
    await received(reader)
    writer.close()

    async def no_connection() -> bool:
        return not api.runner.server.connections

    await eventually(no_connection, "the server has closed the connection")
    assert not fake.new and fake.jobs["victim"].state == "pending"

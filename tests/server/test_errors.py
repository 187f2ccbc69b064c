"""Every error on every route has the one shape, and every answer its headers."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
from typing import Any

import pytest
from conftest import eventually
from document_examples import JOB
from fake_queue import AWAY, FakeQueue

from jobqueue.errors import QueueStarting

SUBMIT = "/api/v1/jobs/submit"
JSON = {"Content-Type": "application/json"}


def assert_error(answer: tuple[int, Any, Any], status: int, name: str) -> dict[str, Any]:
    got, body, response = answer
    assert (got, body["error"]) == (status, name)
    assert isinstance(body["message"], str) and body["message"]
    assert_headers(response)
    return dict(body)


def assert_headers(response: Any) -> None:
    headers = response.headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Server"] == "jobs"
    assert not any(name.lower().startswith("access-control-") for name in headers)


@pytest.mark.parametrize(
    "path", ["/", "/api/v1", "/api/v1/jobs/", "/api/v1/jobs/status/", "/api/v1/jobs/status/a/b/c", "/x?y", "//"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_api_A2_unknown_route(api: Any, method: str, path: str) -> None:
    assert_error(await api.call(method, path), 404, "RouteNotFoundError")


async def test_a_wrong_configuration_of_a_type_is_an_internal_error(api: Any) -> None:
    assert_error(await api.call("POST", SUBMIT, json={"job_type": "broken"}), 500, "InternalServerError")


async def test_json_with_charset_and_empty_submit(api: Any) -> None:
    json = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert (await api.call("POST", SUBMIT, data=b'{"job_type":"extraction"}', headers=json))[0] == 202
    assert_error(await api.call("POST", SUBMIT, headers=JSON), 400, "InvalidJsonError")
    assert_error(await api.call("POST", SUBMIT), 415, "UnsupportedMediaTypeError")


async def test_sec_A11_too_large(api: Any, fake: FakeQueue) -> None:
    long = b'{"job_type": "extraction", "parameters": {"source": "' + b"x" * 300_000 + b'"}}'
    assert_error(await api.call("POST", SUBMIT, data=long, headers=JSON), 413, "PayloadTooLargeError")
    assert_error(
        await api.call("POST", SUBMIT, data=io.BytesIO(b" " * 1_048_577), headers=JSON), 413, "PayloadTooLargeError"
    )

    async def pieces() -> Any:
        for _ in range(17):
            yield b" " * 65536

    with contextlib.suppress(ConnectionError):
        assert_error(await api.call("POST", SUBMIT, data=pieces(), headers=JSON), 413, "PayloadTooLargeError")
    assert not fake.new


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "10.0.0.1", "[::2]", "localhost.evil.example", "[", "@"]
)
async def test_sec_A8_foreign_host(api: Any, host: str) -> None:
    answer = await api.call("GET", "/health/live", headers={"Host": host})
    assert_error(answer, 421, "MisdirectedRequestError")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9", "127.0.0.1:8000", "[::1]:8000", "localhost."])
async def test_sec_A8_own_host(api: Any, host: str) -> None:
    assert (await api.call("GET", "/health/live", headers={"Host": host}))[:2] == (200, {"status": "ok"})


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
async def test_sec_A6_pages_of_other_sites_cannot_change_anything(
    api: Any, fake: FakeQueue, headers: dict[str, str]
) -> None:
    fake.add(JOB)
    assert_error(await api.call("POST", f"/api/v1/jobs/cancel/{JOB}", headers=headers), 403, "ForbiddenError")
    assert fake.jobs[JOB].state == "pending"


async def test_sec_A6_own_pages_can(api: Any, fake: FakeQueue) -> None:
    fake.add(JOB)
    headers = {"Sec-Fetch-Site": "same-origin", "Origin": f"http://127.0.0.1:{api.port}"}
    assert (await api.call("POST", f"/api/v1/jobs/cancel/{JOB}", headers=headers))[0] == 200


@pytest.mark.parametrize(
    "request_text",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET /health/live HTTP/1.0\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nBad Header: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nExpect: wonders\r\n\r\n",
        b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
async def test_sec_A18_what_is_not_http_gets_our_shape_too(
    api: Any, request_text: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await api.raw(request_text)
    answer = await asyncio.wait_for(reader.readuntil(b"}"), 10)
    writer.close()
    assert answer.split()[1] == b"400"
    assert b'"error":"BadRequestError"' in answer
    assert b"\r\nContent-Type: application/json; charset=utf-8\r\n" in answer
    assert b"\r\nX-Content-Type-Options: nosniff\r\n" in answer and b"aiohttp" not in answer
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_success_has_the_headers_too(api: Any, fake: FakeQueue) -> None:
    fake.add(JOB)
    for method in ("GET", "HEAD"):
        assert_headers((await api.call(method, f"/api/v1/jobs/status/{JOB}"))[2])


async def test_health(api: Any, fake: FakeQueue) -> None:
    assert await api.get("/health/live") == (200, {"status": "ok"})
    assert await api.get("/health/ready") == (200, {"status": "ok"})
    fake.down = AWAY
    assert await api.get("/health/ready") == (503, {"status": "unavailable"})
    fake.down = QueueStarting("loading")
    assert await api.get("/health/ready") == (503, {"status": "starting"})
    assert await api.get("/health/live") == (200, {"status": "ok"})


async def test_w5_a_change_goes_through_although_the_client_hangs_up(api: Any, fake: FakeQueue) -> None:
    fake.add(JOB)
    began, go_on, gone = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        began.set()
        await go_on.wait()

    async def no_connection() -> bool:
        return not api.runner.server.connections

    fake.before_change = hold
    fake.events.on_change(lambda change: gone.set())
    _, writer = await api.raw(f"POST /api/v1/jobs/cancel/{JOB} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    await began.wait()
    writer.close()
    await writer.wait_closed()
    await eventually(no_connection, "the server notices that the client is gone")
    go_on.set()
    await gone.wait()
    assert fake.jobs[JOB].state == "cancelled"

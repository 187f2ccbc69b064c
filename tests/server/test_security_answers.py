"""What every answer must carry, and what none may."""

from __future__ import annotations

import gzip
import re
from typing import Any

import pytest
from aiohttp import web
from document_examples import JOB
from fake_queue import FakeQueue

from jobqueue import Settings
from jobqueue.errors import QueueUnavailable, ScriptError
from server.routes import ROUTES

SUBMIT = "/api/v1/jobs/submit"
OF_A_JOB = [route for route in ROUTES if "{job_id" in route.path]
LEAKS = re.compile(r"Traceback|File \"|site-packages|\.py\b|unix://|redis://|\.sock|secret", re.IGNORECASE)


def path_of(route: Any, job_id: str = JOB) -> str:
    return re.sub(r"\{(?:job_id|schedule_id|worker|file_id)[^}]*(\{[^}]*\})?[^}]*\}", job_id, str(route.path))


def safe(response: Any) -> bool:
    headers = response.headers
    stream = response.content_type == "text/event-stream"
    return (
        headers["X-Content-Type-Options"] == "nosniff"
        and headers["Referrer-Policy"] == "no-referrer"
        and headers["Cross-Origin-Resource-Policy"] == "same-origin"
        and headers["Server"] == "jobs"
        # What proxies know of event streams is no-cache.
        and headers["Cache-Control"] == ("no-cache, no-transform" if stream else "no-store")
    )


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
async def test_sec_A10_every_route_has_the_headers_whatever_it_answers(
    api: Any, fake: FakeQueue, route: web.RouteDef
) -> None:
    for state in ("pending", "completed"):
        fake.add(JOB, state)
        for method in (route.method, "PUT"):
            query = "?timeout=0" if "poll" in route.path else ""
            async with api.session.request(
                method, api.url(path_of(route) + query), headers={"Connection": "close"}
            ) as answer:
                assert safe(answer)
                if answer.status >= 400:
                    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize("value", ["-1", "301", "1e999", "nan", "inf", "", "x", "0x10", "%EF%BC%99", "1" * 5000])
async def test_sec_A17_a_timeout_out_of_bounds_is_refused_at_once(api: Any, fake: FakeQueue, value: str) -> None:
    fake.add(JOB)
    path = f"/api/v1/jobs/status/{JOB}/poll?current_status=pending&timeout={value}"
    status, body, _ = await api.call("GET", path)
    assert (status, body["error"]) == (400, "InvalidParameterError")


@pytest.mark.parametrize("route", OF_A_JOB, ids=lambda route: f"{route.method} {route.path}")
@pytest.mark.parametrize(
    "job_id", ["%00", "a%0d%0aSet-Cookie:x", "%2e%2e", "..%2f..%2fetc", "x" * 10_000, "%F0%9F%98%80"]
)
async def test_sec_A19_a_bad_id_is_unknown_without_a_look_at_redis(
    api: Any, fake: FakeQueue, route: web.RouteDef, job_id: str
) -> None:
    fake.down = QueueUnavailable("not to be asked")
    status, body, response = await api.call(route.method, path_of(route, job_id))
    assert (status, body["error"]) == (404, "JobNotFoundError")
    assert len(body["job_id"]) <= 64 and body["job_id"].isprintable()
    assert safe(response) and "Set-Cookie" not in response.headers


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
async def test_sec_A20_a_wrong_method_names_the_right_ones(api: Any, route: web.RouteDef) -> None:
    status, body, response = await api.call("PUT", path_of(route))
    assert (status, body["error"]) == (405, "MethodNotAllowedError")
    assert route.method in response.headers["Allow"].split(",")


async def test_sec_A20_a_wrong_path_is_json_too(api: Any) -> None:
    for path in ("/", "/api", "/api/v2/jobs/submit", "/admin", "/api/v1/jobs/status/a/b/c", "/.git/config"):
        status, body, response = await api.call("GET", path)
        assert (status, body["error"]) == (404, "RouteNotFoundError") and safe(response)


@pytest.mark.parametrize("route", OF_A_JOB, ids=lambda route: f"{route.method} {route.path}")
@pytest.mark.parametrize(
    "trouble",
    [
        RuntimeError('File "/srv/secret/x.py"'),
        ScriptError("ERR user_script at unix:///srv/secret.sock"),
        QueueUnavailable("cannot connect to redis://user:secret@10.0.0.1:6379"),
        OSError(2, "secret", "/srv/secret.py"),
        KeyError("secret"),
    ],
    ids=lambda trouble: type(trouble).__name__,
)
async def test_sec_A22_no_answer_tells_of_the_inside(
    api: Any, fake: FakeQueue, route: web.RouteDef, trouble: Exception
) -> None:
    # The server's own duties go on meanwhile.
    fake.maintenance = fake.presence = fake.cleanup = FakeQueue()
    fake.add(JOB, "failed")
    fake.down = trouble
    status, body, response = await api.call(route.method, path_of(route))
    assert status == (503 if isinstance(trouble, QueueUnavailable) else 500)
    assert not LEAKS.search(str(body)) and not LEAKS.search(str(response.headers))
    assert (status == 500) is ("error_id" in body)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("job_id", "x\r\nSet-Cookie: a=b"),
        ("job_id", "../../etc/passwd"),
        ("job_id", "x" * 5000),
        ("job_type", "x\r\nSet-Cookie: a=b"),
        ("user_id", "x\r\nSet-Cookie: a=b"),
        ("priority", "\r\n\r\n<script>"),
    ],
)
async def test_sec_A24_no_users_words_are_in_headers(api: Any, fake: FakeQueue, field: str, value: str) -> None:
    status, _, response = await api.call("POST", SUBMIT, json={"job_type": "extraction", field: value})
    assert status == 400 and not fake.new
    assert not [text for text in response.headers.values() if "x" * 100 in text or "passwd" in text or "a=b" in text]
    assert {"Set-Cookie", "Location"}.isdisjoint(response.headers)


async def test_sec_A24_location_is_made_of_a_checked_id(api: Any) -> None:
    _, body, response = await api.call("POST", SUBMIT, json={"job_type": "extraction"})
    assert re.fullmatch(r"/api/v1/jobs/status/[0-9a-f-]{36}", response.headers["Location"])
    assert response.headers["Location"].endswith(body["job_id"])


@pytest.mark.parametrize(
    "text", ["a\nb", "a\r\ndata: {}\n\n", "\u2028x\u2029", "\x00\x1b[2J", "event: job_complete\n\n"]
)
async def test_sec_A23_text_cannot_break_out_of_an_event(api: Any, fake: FakeQueue, text: str) -> None:
    fake.add(JOB, "running", step=text, job_type="extraction")
    async with api.stream(JOB) as events:
        first = await events.event()
        assert first.name == "job_update" and first.data["current_step"] == text
        fake.change(JOB, "failed", error=text)
        assert [event.name for event in await events.rest() if event.name] == ["job_complete"]


@pytest.mark.parametrize(
    "path",
    ["/static/../server/app.py", "/%2e%2e/%2e%2e/etc/passwd", "/static/", "//evil.example/%2f..", "/dashboard/..%2f"],
)
async def test_sec_A27_paths_lead_to_no_file_and_nowhere_else(api: Any, path: str) -> None:
    async with api.session.get(api.url(path), allow_redirects=False) as answer:
        assert answer.status == 404 and "Location" not in answer.headers


async def test_sec_A8_a_foreign_host_is_in_no_answer(start: Any, api_settings: Settings, fake: FakeQueue) -> None:
    api = await start(api_settings, fake)
    for path in ("/api/v1/jobs/status", "/health/live", "/x"):
        _, body, response = await api.call("GET", path, headers={"Host": "evil.example"})
        assert response.status == 421 and "evil" not in str(body) + str(response.headers)


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": ""},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
        {"Content-Type": "application/json", "Content-Encoding": "identity, br"},
    ],
)
async def test_sec_A12_only_plain_json_is_read(api: Any, fake: FakeQueue, headers: dict[str, str]) -> None:
    body = (
        gzip.compress(b'{"job_type": "extraction"}') if "Content-Encoding" in headers else b'{"job_type": "extraction"}'
    )
    status, answer, _ = await api.call("POST", SUBMIT, data=body, headers=headers)
    assert (status, answer["error"]) == (415, "UnsupportedMediaTypeError") and not fake.new


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "https://a]b", "//[x", "http://exa\u2100mple", "null"])
async def test_sec_A6_an_origin_that_is_no_address_is_foreign(api: Any, fake: FakeQueue, origin: str) -> None:
    fake.add(JOB, "pending")
    head = f"POST /api/v1/jobs/cancel/{JOB} HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\n"
    reader, writer = await api.raw(f"{head}Content-Length: 0\r\nConnection: close\r\n\r\n".encode())
    assert (await reader.read()).startswith(b"HTTP/1.1 403 ")
    writer.close()

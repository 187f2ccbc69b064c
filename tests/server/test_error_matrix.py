"""What holds for every route there is, taken from the route table: a new route joins by itself."""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest
from chain_parameters import CHAIN_TYPES
from document_examples import JOB, NOT_FOUND
from fake_queue import AWAY, FakeQueue
from test_errors import assert_error, assert_headers

from jobqueue import Settings, load_settings
from jobqueue.errors import QueueFull, QueueStarting, ScriptError
from server.app_keys import SETTINGS, UPLOADS
from server.routes import BASE, ROUTES

JSON = {"Content-Type": "application/json"}
GIVEN = re.compile(r"\{(?:job_id|schedule_id|worker)(:[^}]*)?\}")
FILE_ID = JOB.replace("-", "")
SCHEDULE = f"{BASE}/schedules/{{schedule_id:[^/]+}}"

# What each route that takes a body is given when nothing is wrong with it.
BODIES: dict[str, dict[str, Any]] = {
    f"{BASE}/submit": {"job_type": "extraction"},
    f"{BASE}/pipeline": {"documents": [{"text": "one"}]},
    f"{BASE}/submit/bulk": {"jobs": [{"job_type": "extraction"}]},
    f"{BASE}/cancel/bulk": {"job_ids": [JOB]},
    f"{BASE}/restart/bulk": {"job_ids": [JOB]},
    f"{BASE}/cancel/{{job_id:[^/]+}}": {},
    f"{BASE}/restart/{{job_id:[^/]+}}": {},
    f"{BASE}/schedules": {"job_type": "extraction", "interval_seconds": 60},
    f"{SCHEDULE}/pause": {},
    f"{SCHEDULE}/resume": {},
    f"{SCHEDULE}/run": {},
    f"{BASE}/limits": {"global": 5},
    f"{BASE}/pause": {},
    f"{BASE}/resume": {},
    f"{BASE}/workers/{{worker:[^/]+}}/drain": {},
}
API = [route for route in ROUTES if route.path.startswith(BASE)]
# They know nothing of the queue; the body of one is no JSON.
OF_FILES = [route for route in API if route.path.startswith(f"{BASE}/files")]
OF_THE_QUEUE = [route for route in API if route not in OF_FILES]
WITH_BODY = [route for route in OF_THE_QUEUE if route.method in ("POST", "PATCH")]
OF_A_JOB = [route for route in API if "{job_id" in route.path]
OF_A_SCHEDULE = [route for route in API if "{schedule_id" in route.path]
WAITING = ("/poll", "/stream")
# Answered with what is asked for instead of JSON.
RAW = ("/stream", "/{name:.+}")
MANIFEST = '{"files": [{"path": "a.json", "bytes": 2, "sha256": "x", "records": 1}]}'
SECRETS = ("secret", "Traceback", "unix:", ".py")


@pytest.fixture
def api_settings(tmp_path: Path) -> Settings:
    """Types that fit together, for the pipeline."""
    (tmp_path / "config.toml").write_text(CHAIN_TYPES)
    return load_settings(
        tmp_path / "config.toml", {"JOBQUEUE_SERVER_SHUTDOWN_SECONDS": "2", "JOBQUEUE_SERVER_TICK_SECONDS": "0.05"}
    )


def path_of(route: Any, job_id: str = JOB) -> str:
    path = GIVEN.sub(lambda _: job_id, route.path)
    return path.replace("{file_id:[^/]+}", FILE_ID).replace("{name:.+}", "a.json")


def on(routes: Any) -> Any:
    return pytest.mark.parametrize("route", routes, ids=lambda route: f"{route.method} {route.path}")


async def call(api: Any, route: Any, *, query: str = "", **options: Any) -> Any:
    if route in WITH_BODY and not options:
        options = {"json": BODIES[route.path]}
    elif route in OF_FILES and route.method == "POST":
        options = {"data": {"file": io.BytesIO(b"text")}}
    if route.path.endswith("/poll") and not query:
        query = "?timeout=0"
    return await api.call(route.method, path_of(route) + query, **options)


def ready(api: Any, fake: FakeQueue, route: Any) -> None:
    """A job, a schedule with the same id, or a file, for which the route succeeds."""
    fake.schedules.add(JOB)
    if route in OF_FILES:
        folder = api.app[UPLOADS].folder_of("default_user") / FILE_ID
        folder.mkdir(parents=True)
        (folder / "a.txt").write_text("text")
    if "/files" in route.path and "{job_id" in route.path:
        folder = api.app[SETTINGS].storage.jobs_dir / JOB
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text(MANIFEST)
        (folder / "a.json").write_text("{}")
        fake.add(JOB, "completed")
        return
    ended = "restart" in route.path or "result" in route.path or route.method == "DELETE"
    fake.add(JOB, "failed" if ended else "pending", error="x")


@on([route for route in ROUTES if not route.path.endswith(RAW)])
async def test_api_A1_A6_answers_are_json_and_unknown_query_parameters_change_nothing(
    api: Any, fake: FakeQueue, route: Any
) -> None:
    ready(api, fake, route)
    status, _, response = await call(api, route, query="?timeout=0&colour=red&refresh=true&%00=%ff")
    accepted = "/submit" in route.path or route.path.endswith(("/run", "/drain", "/pipeline"))
    created = (route.method, route.path) in (("POST", f"{BASE}/schedules"), ("POST", f"{BASE}/files"))
    assert status == (202 if accepted else 201 if created else 200)
    assert response.headers["Content-Type"] == "application/json; charset=utf-8"
    assert_headers(response)


def test_api_A1_the_base_path() -> None:
    assert BASE == "/api/v1/jobs"
    others = {route.path for route in ROUTES} - {route.path for route in API}
    assert {"/health/live", "/health/ready"} <= others
    assert not [path for path in others if path.startswith("/api")]


@on(OF_A_JOB)
async def test_api_A3_A4_D1_E2_an_unknown_job_is_told_at_once(api: Any, route: Any) -> None:
    async with asyncio.timeout(5):
        answer = await api.call(route.method, path_of(route) + ("?timeout=30" if route.path.endswith("/poll") else ""))
    assert assert_error(answer, 404, "JobNotFoundError") == NOT_FOUND


@on(OF_A_SCHEDULE)
async def test_an_unknown_schedule_is_told(api: Any, fake: FakeQueue, route: Any) -> None:
    for text in (JOB, JOB.upper(), *IMPOSSIBLE, *POSSIBLE[1:]):
        body = assert_error(await api.call(route.method, path_of(route, text)), 404, "ScheduleNotFoundError")
        assert body["message"] == f"Schedule {body['schedule_id']} not found"
        assert len(body["schedule_id"]) <= 64 and body["schedule_id"].isprintable()


IMPOSSIBLE = (
    "%00", "a%0d%0ab", "a%0d%0aSet-Cookie:%20x=1", "a%2fb", "a%2F..%2Fb", "%2e%2e", "a.b", "%7Bx%7D", "%C3%A9", "%ff",
    "a%20b", "*", "a:b", "x" * 256, "y" * 10_000,
)  # fmt: skip
POSSIBLE = (JOB.upper(), "a", "_-_", "1", "x" * 255)


@on(OF_A_JOB)
async def test_api_A5_impossible_ids_never_reach_the_queue(api: Any, fake: FakeQueue, route: Any) -> None:
    fake.down = AWAY
    for text in IMPOSSIBLE:
        answer = await api.call(route.method, path_of(route, text))
        body = assert_error(answer, 404, "JobNotFoundError")
        assert len(body["job_id"]) <= 64 and body["job_id"].isprintable()
        assert body["message"] == f"Job {body['job_id']} not found"
        assert "Set-Cookie" not in answer[2].headers


@on(OF_A_JOB)
async def test_api_A5_possible_ids_are_looked_up(api: Any, fake: FakeQueue, route: Any) -> None:
    for text in POSSIBLE:
        fake.down = AWAY
        assert_error(await api.call(route.method, path_of(route, text)), 503, "QueueUnavailableError")
        fake.down = None
        body = assert_error(await api.call(route.method, path_of(route, text)), 404, "JobNotFoundError")
        assert body["job_id"] == text[:64]


@on(OF_A_JOB)
async def test_api_A2_paths_that_climb_reach_no_job(api: Any, fake: FakeQueue, route: Any) -> None:
    """A tidying client never sends these, so they go over the wire as they are."""
    ready(api, fake, route)
    for text in ("..", ".", "../..", "a/b", "", "a/../b", "%2e%2e/x"):
        head = f"{route.method} {path_of(route, text)} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        answer = await received(api, head.encode())
        assert answer.split()[1] == b"404", (text, answer)
        assert b'"error":"RouteNotFoundError"' in answer or b'"error":"JobNotFoundError"' in answer
    assert fake.jobs[JOB].seq == 1


async def received(api: Any, request: bytes) -> bytes:
    """All that comes until the server closes the connection."""
    reader, writer = await api.raw(request)
    try:
        async with asyncio.timeout(10):
            return bytes(await reader.read())
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def answered(api: Any, request: bytes) -> bytes:
    """One answer; the connection is the server's to close."""
    reader, writer = await api.raw(request)
    try:
        async with asyncio.timeout(10):
            return bytes(await reader.readuntil(b"}"))
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@on(OF_THE_QUEUE)
async def test_api_A4_the_queue_away_is_503(api: Any, fake: FakeQueue, route: Any) -> None:
    fake.add(JOB)
    for trouble in (AWAY, QueueStarting("secret"), QueueFull("OOM secret")):
        fake.down = trouble
        answer = await call(api, route)
        body = assert_error(answer, 503, "QueueUnavailableError")
        assert int(answer[2].headers["Retry-After"]) > 0
        assert not [word for word in SECRETS if word in str(body)]
        assert body.get("job_id") == (JOB if route in OF_A_JOB else None)
        assert body.get("schedule_id") == (JOB if route in OF_A_SCHEDULE else None)


@on([route for route in ROUTES if route.path != "/health/live" and route not in OF_FILES])
async def test_api_A2_a_defect_is_told_to_the_log_only(
    api: Any, fake: FakeQueue, route: Any, caplog: pytest.LogCaptureFixture
) -> None:
    fake.add(JOB)
    for trouble in (RuntimeError("secret /a.py unix:///x"), KeyError("secret"), ScriptError("secret")):
        fake.down = trouble
        answer = await call(api, route)
        body = assert_error(answer, 500, "InternalServerError")
        shown = str(body) + str(dict(answer[2].headers))
        assert not [word for word in SECRETS if word in shown]
        assert set(body) <= {"error", "message", "error_id", "job_id", "schedule_id"}
        assert [record for record in caplog.records if body["error_id"] in record.getMessage() and record.exc_info]


@on(ROUTES)
async def test_api_A2_A4_other_methods_name_the_right_ones(api: Any, fake: FakeQueue, route: Any) -> None:
    fake.add(JOB)
    path = path_of(route)
    allowed = {other.method for other in ROUTES if path_of(other) == path}
    if "GET" in allowed and not path.endswith(WAITING):
        allowed.add("HEAD")
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE"} - allowed:
        answer = await api.call(method, path)
        assert answer[0] == 405
        assert set(answer[2].headers["Allow"].split(",")) == allowed
        if method != "HEAD":
            assert_error(answer, 405, "MethodNotAllowedError")
    assert fake.jobs[JOB].seq == 1


@on([route for route in ROUTES if route.method == "GET" and not route.path.endswith((*WAITING, *RAW))])
async def test_head_answers_as_get_without_a_body(api: Any, fake: FakeQueue, route: Any) -> None:
    ready(api, fake, route)
    for job_id in (JOB, "unknown"):
        path = path_of(route, job_id)
        status, _, got = await api.call("GET", path)
        head_status, _, headed = await api.call("HEAD", path)
        assert head_status == status
        assert headed.headers["Content-Type"] == got.headers["Content-Type"]
        # Figures of the host differ from one look to the next.
        if not path.endswith("/stats"):
            assert headed.headers["Content-Length"] == got.headers["Content-Length"]


BAD_JSON = (
    b"{", b"[]", b"null", b"1", b'"x"', b'{"a": NaN}', b'{"a": Infinity}', b'{"a": -Infinity}', b'{"a":1,"a":2}',
    b'{"a":{"b":1,"b":1}}', b'{"a":' * 35 + b"1" + b"}" * 35, b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}", b"\xff",
    b'{"a":"\xff"}', b'{"a":"\\ud800"}', b'{"a":1}x', b"{'a':1}", b'{"a":1e999}', b'{"a":99999999999999999999}', b" ",
    b'{"' + b"x" * 200_000 + b'":NaN}',
)  # fmt: skip


@on(WITH_BODY)
async def test_api_A4_sec_A13_bad_json(api: Any, fake: FakeQueue, route: Any) -> None:
    fake.add(JOB, "failed")
    for text in BAD_JSON:
        body = assert_error(await call(api, route, data=text, headers=JSON), 400, "InvalidJsonError")
        assert body["details"]
        assert body.get("job_id") == (JOB if route in OF_A_JOB else None)
    assert fake.jobs[JOB].seq == 1 and not fake.new


@on(WITH_BODY)
async def test_api_A6_unknown_body_fields_are_refused(api: Any, fake: FakeQueue, route: Any) -> None:
    ready(api, fake, route)
    answer = await call(api, route, json={**BODIES[route.path], "colour": "red"})
    body = assert_error(answer, 400, "InvalidParameterError")
    assert ["colour"] in [detail["loc"] for detail in body["details"]]
    assert fake.jobs[JOB].seq == 1 and not fake.new


OTHER_MEDIA = (
    b"Content-Type: text/plain",
    b"Content-Type: application/x-www-form-urlencoded",
    b"Content-Type: multipart/form-data; boundary=x",
    b"Content-Type: application/jsonx",
    b"Content-Type:",
    b"X-Nothing: about the type",
    b"Content-Type: application/json\r\nContent-Encoding: gzip",
    b"Content-Type: application/json\r\nContent-Encoding: deflate, br",
    b"Content-Type: application/json\r\nContent-Encoding: identity\r\nContent-Encoding: gzip",
)


@on(WITH_BODY)
async def test_api_A4_sec_A12_other_media_types(api: Any, fake: FakeQueue, route: Any) -> None:
    ready(api, fake, route)
    head = f"{route.method} {path_of(route)} HTTP/1.1\r\nHost: localhost\r\n".encode()
    for headers in OTHER_MEDIA:
        answer = await received(api, head + headers + b"\r\nContent-Length: 2\r\n\r\n{}")
        assert answer.split()[1] == b"415" and b'"error":"UnsupportedMediaTypeError"' in answer, headers
    assert fake.jobs[JOB].seq == 1 and not fake.new


@on(WITH_BODY)
async def test_api_A4_sec_A11_a_huge_body_is_refused_before_it_comes(api: Any, route: Any) -> None:
    head = f"{route.method} {path_of(route)} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n".encode()
    answer = await answered(api, head + b"Content-Length: 1000000000\r\n\r\n")
    assert answer.split()[1] == b"413" and b'"error":"PayloadTooLargeError"' in answer
    assert b"\r\nConnection: close\r\n" in answer


async def test_api_A4_sec_A11_the_connection_of_a_huge_body_is_closed(api: Any) -> None:
    head = b"POST /api/v1/jobs/submit HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    assert (await received(api, head + b"Content-Length: 1000000000\r\n\r\n")).endswith(b"}")


@on(WITH_BODY)
async def test_api_A4_sec_A11_a_body_that_hides_its_size_is_cut_off(api: Any, route: Any) -> None:
    """The client goes on sending; the server answers and wants no more."""
    head = f"{route.method} {path_of(route)} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n".encode()
    reader, writer = await api.raw(head + b"Transfer-Encoding: chunked\r\n\r\n")

    async def send() -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b"10000\r\n" + b" " * 65536 + b"\r\n")
                await writer.drain()

    sending = asyncio.create_task(send(), name="endless-body")
    async with asyncio.timeout(20):
        answer = await reader.readuntil(b"}")
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    writer.transport.abort()
    assert answer.split()[1] == b"413" and b'"error":"PayloadTooLargeError"' in answer
    assert b"\r\nConnection: close\r\n" in answer


@on(WITH_BODY)
async def test_api_A4_sec_A15_a_slow_body_has_its_own_deadline(
    start: Any, api_settings: Settings, fake: FakeQueue, route: Any
) -> None:
    server = api_settings.server.model_copy(update={"body_timeout_seconds": 0.05})
    api = await start(api_settings.model_copy(update={"server": server}), fake)
    fake.add(JOB)
    head = f"{route.method} {path_of(route)} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n".encode()
    answer = await answered(api, head + b"Content-Length: 9\r\n\r\n{")
    assert answer.startswith(b"HTTP/1.1 408 ") and b'"error":"RequestTimeoutError"' in answer
    assert b"\r\nConnection: close\r\n" in answer
    assert fake.jobs[JOB].seq == 1


@on(WITH_BODY)
async def test_api_A4_a_damaged_body(api: Any, route: Any) -> None:
    head = f"{route.method} {path_of(route)} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n".encode()
    answer = await answered(api, head + b"Transfer-Encoding: chunked\r\n\r\nnonsense\r\n\r\n")
    assert answer.split()[1] == b"400"
    assert b'"error":"InvalidJsonError"' in answer or b'"error":"BadRequestError"' in answer

"""A real HTTP server in the test's loop, over the fake queue."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

# At the end: `conftest` must stay the name of the one above.
sys.path.append(str(Path(__file__).parent))

from conftest import ValkeyServer, settings_for
from fake_queue import FakeQueue
from working_hand import JOB_TYPES as REAL_JOB_TYPES
from working_hand import WorkingHand

from jobqueue import JobQueue, Settings, load_settings
from server.app import create_app
from server.runner import Runner

JOB_TYPES = """
[job_types.extraction]
function = "worker.jobs.extraction:run"
parameters = "fake_parameters:Strict"
timeout_seconds = 120
max_attempts = 2
max_lost_attempts = 4
queue = "slow"
[job_types.taxonomy_processing]
function = "worker.jobs.taxonomy:run"
parameters = "fake_parameters:WithInputs"
[job_types.broken]
function = "worker.jobs.broken:run"
parameters = "fake_parameters:NOT_A_MODEL"
"""


class Event:
    """One block of an event stream, as a browser would read it."""

    def __init__(self, block: str) -> None:
        fields = [line.partition(": ") for line in block.split("\n")]
        self.comments = [value for name, _, value in fields if not name]
        self.fields = {name: value for name, _, value in fields if name}
        self.name = self.fields.get("event")
        self.id = int(self.fields["id"]) if "id" in self.fields else None
        self.retry = int(self.fields["retry"]) if "retry" in self.fields else None
        self.data: dict[str, Any] = json.loads(self.fields["data"]) if "data" in self.fields else {}


class Api:
    def __init__(self, session: aiohttp.ClientSession, app: web.Application, runner: Runner, port: int) -> None:
        self.session = session
        self.app = app
        self.runner = runner
        self.port = port

    async def call(self, method: str, path: str, **options: Any) -> tuple[int, Any, aiohttp.ClientResponse]:
        async with self.session.request(method, self.url(path), **options) as response:
            text = await response.read()
            if response.status == 204 or method == "HEAD":
                return response.status, None, response
            assert response.headers["Content-Type"] == "application/json; charset=utf-8"
            return response.status, json.loads(text), response

    def url(self, path: str) -> URL:
        """As it stands: a client that tidies paths up would hide what the server does with them."""
        return URL(f"http://127.0.0.1:{self.port}{path}", encoded=True)

    async def get(self, path: str, **options: Any) -> tuple[int, Any]:
        status, body, _ = await self.call("GET", path, **options)
        return status, body

    async def post(self, path: str, body: Any = None, **options: Any) -> tuple[int, Any]:
        status, answer, _ = await self.call("POST", path, json=body, **options)
        return status, answer

    @asynccontextmanager
    async def stream(self, job_id: str, query: str = "", **options: Any) -> AsyncIterator[Events]:
        async with self.session.get(self.url(f"/api/v1/jobs/status/{job_id}/stream{query}"), **options) as response:
            yield Events(response)

    async def raw(self, request: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        return reader, writer


class Events:
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def next(self) -> Event | None:
        """None at the end of the stream."""
        block = b""
        while not block.endswith(b"\n\n"):
            line = await asyncio.wait_for(self.response.content.readline(), 10)
            if not line:
                assert not block
                return None
            block += line
        return Event(block.decode().removesuffix("\n\n"))

    async def event(self) -> Event:
        """The next one that is not a mere comment."""
        while True:
            event = await self.next()
            assert event is not None, "the stream has ended"
            if event.name is not None:
                return event

    async def rest(self) -> list[Event]:
        events = []
        while (event := await self.next()) is not None:
            events.append(event)
        return events


@pytest.fixture
def api_settings(tmp_path: Path) -> Settings:
    file = tmp_path / "config.toml"
    file.write_text(JOB_TYPES)
    return load_settings(file, {"JOBQUEUE_SERVER_SHUTDOWN_SECONDS": "2", "JOBQUEUE_SERVER_TICK_SECONDS": "0.05"})


@pytest.fixture
def fake() -> FakeQueue:
    return FakeQueue()


Start = Callable[..., Awaitable[Api]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts servers: `await start(settings, queue)`."""
    async with AsyncExitStack() as stack:

        async def start_one(settings: Settings, queue: Any) -> Api:
            return await stack.enter_async_context(running(settings, queue))

        yield start_one


@asynccontextmanager
async def running(settings: Settings, queue: Any) -> AsyncIterator[Api]:
    async def open_queue() -> JobQueue:
        return queue

    app = create_app(settings, open_queue)
    runner = Runner(app, settings)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0))
    await web.SockSite(runner, listener).start()
    port = listener.getsockname()[1]
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        try:
            yield Api(session, app, runner, port)
        finally:
            await runner.cleanup()


@pytest.fixture
async def api(start: Start, api_settings: Settings, fake: FakeQueue) -> Api:
    return await start(api_settings, fake)


@pytest.fixture
async def no_task_is_left() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    left = [task for task in asyncio.all_tasks() - before if not task.done()]
    assert not left


@pytest.fixture
def settings(valkey: ValkeyServer, tmp_path: Path) -> Settings:
    (tmp_path / "config.toml").write_text(REAL_JOB_TYPES)
    return settings_for(valkey.url, tmp_path)


@pytest.fixture
async def real(start: Any, settings: Settings) -> Any:
    return await start(settings, await JobQueue.open(settings, name="server-one"))


@pytest.fixture
async def worker(queue: JobQueue) -> AsyncIterator[WorkingHand]:
    await queue.register_worker()
    yield WorkingHand(queue)
    await queue.presence.remove_worker()

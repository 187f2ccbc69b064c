"""A stand-in for a web site, on loopback, in a thread of its own; each path answers as told."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from aiohttp import web

# For the name `documents.test`; its key is no secret.
CERTIFICATE = Path(__file__).parent / "documents_test.pem"


@dataclass(frozen=True)
class Page:
    """`sized`: tell the size first. `then`: after the body; "hang" says nothing more, "break" tells a size that is too
    large and goes, "repeat" sends the body again and again."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    sized: bool = True
    then: Literal["end", "hang", "break", "repeat"] = "end"


class Web:
    """`pages` by path and may be changed at any time; `asked` has path, query and headers of each request."""

    def __init__(self, scheme: str) -> None:
        self.pages: dict[str, Page] = {}
        self.asked: list[tuple[str, Mapping[str, str]]] = []
        self.scheme = scheme
        self.port = 0
        self.left = threading.Event()

    @property
    def origin(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def redirect(self, path: str, to: str, status: int = 302) -> None:
        self.pages[path] = Page(status=status, headers={"Location": to})

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.path_qs, dict(request.headers)))
        page = self.pages.get(request.path, Page(b"no such page", 404))
        response = web.StreamResponse(status=page.status, headers=dict(page.headers))
        if page.sized and page.then != "repeat":
            response.content_length = len(page.body) + (page.then == "break")
        with suppress(ConnectionError):
            await self._send(request, response, page)
        return response

    async def _send(self, request: web.Request, response: web.StreamResponse, page: Page) -> None:
        await response.prepare(request)
        await response.write(page.body)
        assert request.transport is not None
        match page.then:
            case "hang":
                try:
                    await asyncio.Event().wait()
                finally:
                    self.left.set()
            case "break":
                request.transport.close()
            case "repeat":
                while True:
                    await response.write(page.body)
            case "end":
                await response.write_eof()


@contextmanager
def web_stub(*, tls: bool = False) -> Iterator[Web]:
    site = Web("https" if tls else "http")
    loop = asyncio.new_event_loop()
    ready, stop = threading.Event(), asyncio.Event()

    async def serve() -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", site.handle)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=_server_side() if tls else None).start()
        site.port = runner.addresses[0][1]
        ready.set()
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), name="web-stub", daemon=True)
    thread.start()
    try:
        assert ready.wait(10)
        yield site
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()


def _server_side() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    return context

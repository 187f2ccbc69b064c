"""Server-Sent Events on the wire: encoding, resuming, and a writer that a slow client cannot hold up."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import socket
from collections.abc import AsyncIterator
from typing import Any, Final

from aiohttp import web

from server.json_text import dumps_line

KEEP_ALIVE: Final = b": keep-alive\n\n"
WRITE_SECONDS: Final = 10.0
# What one client that does not read may hold: this much in the kernel (which doubles it), two pieces here.
SEND_BUFFER_BYTES: Final = 64 * 1024
PIECE_BYTES: Final = 16 * 1024
HEADERS: Final = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}


def encode(event: str, data: Any, *, event_id: int) -> bytes:
    return b"event: %s\nid: %d\ndata: %s\n\n" % (event.encode(), event_id, dumps_line(data))


def last_event_id(request: web.Request) -> int | None:
    """What the client has seen; a browser sends the header by itself, newer than the query of its first connection."""
    text = request.headers.get("Last-Event-ID") or request.query.get("last_event_id") or ""
    return int(text) if re.fullmatch(r"\d{1,18}", text, re.ASCII) else None


class EventWriter:
    """One open stream. Raises ConnectionError when the client is gone or has taken nothing for `WRITE_SECONDS`."""

    def __init__(self, request: web.Request, response: web.StreamResponse) -> None:
        self._request = request
        self.response = response
        self.written_at = 0.0

    @classmethod
    async def open(cls, request: web.Request) -> EventWriter:
        _keep_buffers_small(request.transport)
        response = web.StreamResponse(headers=HEADERS)
        await response.prepare(request)
        return cls(request, response)

    async def write(self, block: bytes) -> None:
        # Spread over the clients, so that they do not all come back at once after a restart.
        head = b"" if self.written_at else b"retry: %d\n" % random.randint(2000, 5000)
        for at in range(0, len(block), PIECE_BYTES):
            async with self._deadline():
                await self.response.write(head + block[at : at + PIECE_BYTES])
                await self._request.writer.drain()
            head = b""
        self.written_at = asyncio.get_running_loop().time()

    async def close(self) -> None:
        """Hands the last byte to the kernel: what stayed here would wait for the client without end."""
        if self._request.transport is not None:
            self._request.transport.set_write_buffer_limits(high=0)
        async with self._deadline():
            await self.response.write_eof()
            await self._request.writer.drain()

    @contextlib.asynccontextmanager
    async def _deadline(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                yield
        except TimeoutError:
            if self._request.transport is not None:
                self._request.transport.abort()
            raise ConnectionAbortedError("the client does not read") from None


def _keep_buffers_small(transport: asyncio.Transport | None) -> None:
    if transport is None:
        return
    transport.set_write_buffer_limits(high=PIECE_BYTES)
    with contextlib.suppress(OSError):
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)

"""Sends a file, whole or in part. Conditions and ranges as RFC 9110 has them; who asks for several ranges gets all."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import BinaryIO, Final

from aiohttp import ETag, hdrs, web

from server.errors import PreconditionFailedError, RangeNotSatisfiableError

BLOCK: Final = 256 * 1024
# A client that takes less than a block in this time is given up.
STALLED_SECONDS: Final = 60.0
_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


async def send_file(
    request: web.Request, file: BinaryIO, *, size: int, etag: str, headers: dict[str, str]
) -> web.StreamResponse:
    """`etag`: changes with the content. Raises PreconditionFailedError, RangeNotSatisfiableError."""
    if request.if_match is not None and not _matches(request.if_match, etag, weak=False):
        raise PreconditionFailedError("The file has another ETag")
    marks: dict[str, str] = {hdrs.ETAG: f'"{etag}"', hdrs.ACCEPT_RANGES: "bytes"}
    if request.if_none_match is not None and _matches(request.if_none_match, etag, weak=True):
        return web.Response(status=304, headers=marks)
    part = _part(request, size, etag)
    first, last = part or (0, size - 1)
    response = web.StreamResponse(status=206 if part else 200, headers={**headers, **marks})
    if part:
        response.headers[hdrs.CONTENT_RANGE] = f"bytes {first}-{last}/{size}"
    response.content_length = last + 1 - first
    await response.prepare(request)
    if request.method != hdrs.METH_HEAD:
        with contextlib.suppress(ConnectionError):
            if not await _send(response, file, first, last + 1 - first) and request.transport is not None:
                # The client must see a broken answer.
                request.transport.abort()
    return response


async def _send(response: web.StreamResponse, file: BinaryIO, first: int, count: int) -> bool:
    """False: not all of it, as the client has stalled or the file was cut short."""
    file.seek(first)
    while count > 0:
        block = await asyncio.to_thread(file.read, min(BLOCK, count))
        try:
            async with asyncio.timeout(STALLED_SECONDS):
                await response.write(block)
        except TimeoutError:
            return False
        if not block:
            return False
        count -= len(block)
    await response.write_eof()
    return True


def _matches(wanted: tuple[ETag, ...], etag: str, *, weak: bool) -> bool:
    return any(tag.value in ("*", etag) and (weak or not tag.is_weak) for tag in wanted)


def _part(request: web.Request, size: int, etag: str) -> tuple[int, int] | None:
    """The first and the last byte; None = all, as no part is asked for, or none that is understood."""
    found = _RANGE.fullmatch(request.headers.get(hdrs.RANGE, ""))
    if found is None or found[0] == "bytes=-" or request.headers.get(hdrs.IF_RANGE, f'"{etag}"') != f'"{etag}"':
        return None
    if not found[1]:
        first, last = max(0, size - int(found[2])), size - 1
    else:
        first, last = int(found[1]), min(int(found[2] or size), size - 1)
        if found[2] and int(found[2]) < first:
            return None
    if first >= size:
        raise RangeNotSatisfiableError(size)
    return first, last

"""Reads a request's body into an object, within limits of size, time and form."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from aiohttp import web

from server.app_keys import SETTINGS
from server.errors import InvalidJsonError, PayloadTooLargeError, RequestTimeoutError, UnsupportedMediaTypeError
from server.json_text import MOST_DEPTH, loads_object

# Reading more than this as JSON would keep other requests waiting for some milliseconds.
IN_LOOP_BYTES: Final = 128 * 1024


async def read_object(
    request: web.Request, *, most_bytes: int | None = None, most_depth: int = MOST_DEPTH
) -> dict[str, Any]:
    """`most_bytes`: for routes with another limit than the configured one."""
    _check_media(request)
    return await _parse(await _read(request, most_bytes), most_depth)


async def read_optional_object(request: web.Request) -> dict[str, Any] | None:
    """None when there is no body, whatever its headers say."""
    if not request.can_read_body:
        return None
    if request.content_length:
        _check_media(request)
    text = await _read(request, None)
    if not text:
        return None
    _check_media(request)
    return await _parse(text, MOST_DEPTH)


def refuse_encodings(request: web.Request) -> None:
    encodings = request.headers.getall("Content-Encoding", ["identity"])
    if any(encoding.strip().lower() != "identity" for encoding in encodings):
        raise UnsupportedMediaTypeError("Only bodies without Content-Encoding are read")


def _check_media(request: web.Request) -> None:
    refuse_encodings(request)
    if request.content_type != "application/json":
        raise UnsupportedMediaTypeError("The body must be application/json")


async def _read(request: web.Request, most_bytes: int | None) -> bytes:
    settings = request.app[SETTINGS].server
    most = settings.max_body_bytes if most_bytes is None else most_bytes
    if (request.content_length or 0) > most:
        raise PayloadTooLargeError(f"The body is larger than {most} bytes")
    try:
        async with asyncio.timeout(settings.body_timeout_seconds):
            return await _collect(request, most)
    except TimeoutError:
        raise RequestTimeoutError("The body did not arrive in time") from None
    except web.RequestPayloadError:
        raise InvalidJsonError("The body is damaged") from None


async def _collect(request: web.Request, most: int) -> bytes:
    body = bytearray()
    async for part in request.content.iter_any():
        body += part
        if len(body) > most:
            raise PayloadTooLargeError(f"The body is larger than {most} bytes")
    return bytes(body)


async def _parse(text: bytes, most_depth: int) -> dict[str, Any]:
    if len(text) <= IN_LOOP_BYTES:
        return loads_object(text, most_depth)
    return await asyncio.to_thread(loads_object, text, most_depth)

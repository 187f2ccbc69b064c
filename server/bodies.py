"""Reads a request's body into an object, within limits of size, time and form."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from server.app_keys import SETTINGS
from server.errors import InvalidJsonError, PayloadTooLargeError, RequestTimeoutError, UnsupportedMediaTypeError
from server.json_text import loads_object


async def read_object(request: web.Request) -> dict[str, Any]:
    _check_media(request)
    return loads_object(await _read(request))


async def read_optional_object(request: web.Request) -> dict[str, Any] | None:
    """None when there is no body, whatever its headers say."""
    if not request.can_read_body:
        return None
    if request.content_length:
        _check_media(request)
    text = await _read(request)
    if not text:
        return None
    _check_media(request)
    return loads_object(text)


def _check_media(request: web.Request) -> None:
    if request.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise UnsupportedMediaTypeError("Only bodies without Content-Encoding are read")
    if request.content_type != "application/json":
        raise UnsupportedMediaTypeError("The body must be application/json")


async def _read(request: web.Request) -> bytes:
    settings = request.app[SETTINGS].server
    if (request.content_length or 0) > settings.max_body_bytes:
        raise PayloadTooLargeError(f"The body is larger than {settings.max_body_bytes} bytes")
    try:
        async with asyncio.timeout(settings.body_timeout_seconds):
            return await request.read()
    except TimeoutError:
        raise RequestTimeoutError("The body did not arrive in time") from None
    except web.RequestPayloadError:
        raise InvalidJsonError("The body is damaged") from None

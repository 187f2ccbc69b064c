"""aiohttp's runner with our limits, and with answers of our shape for requests that never reach the application."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web
from aiohttp.web_request import BaseRequest

from jobqueue import Settings
from server.errors import BadRequestError
from server.responses import json_response
from server.security import HEADERS, is_understood

log = logging.getLogger(__name__)

OPTIONS: Final[dict[str, Any]] = {
    "keepalive_timeout": 75.0,
    "lingering_time": 2.0,
    # Room for ids that are far too long but still deserve the answer of an unknown job.
    "max_line_size": 16 * 1024,
    "auto_decompress": False,
    "access_log": None,
}


def _refusal() -> web.Response:
    headers = {**HEADERS, "Cache-Control": "no-store"}
    response = json_response(BadRequestError("The request is not valid HTTP").body, status=400, headers=headers)
    response.force_close()
    return response


class _Protocol(web.RequestHandler):
    __slots__ = ()

    def handle_error(
        self, request: BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        if status != 400 or request.writer.output_size:
            return super().handle_error(request, status, exc, message)
        log.info("refused what is not HTTP: %s", type(exc).__name__)
        return _refusal()


class _Server(web.Server):
    def __call__(self) -> web.RequestHandler:
        return _Protocol(self, loop=asyncio.get_running_loop(), **OPTIONS)


class Runner(web.AppRunner):
    def __init__(self, app: web.Application, settings: Settings) -> None:
        # aiohttp waits twice as long as told, for handlers to end and again after it has cut off their input.
        super().__init__(app, shutdown_timeout=settings.server.shutdown_seconds / 2)

    async def _make_server(self) -> web.Server:
        plain = await super()._make_server()
        return _Server(
            _refusing(plain.request_handler), request_factory=plain.request_factory, handler_cancellation=True
        )


def _refusing(
    handle: Callable[[BaseRequest], Awaitable[web.StreamResponse]],
) -> Callable[[BaseRequest], Awaitable[web.StreamResponse]]:
    async def handle_or_refuse(request: BaseRequest) -> web.StreamResponse:
        if not is_understood(request):
            return _refusal()
        try:
            return await handle(request)
        except web.HTTPExpectationFailed:
            # aiohttp looks at Expect before any middleware.
            return _refusal()

    return handle_or_refuse

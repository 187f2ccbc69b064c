"""JSON answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from server.json_text import dumps


def json_response(value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(
        body=dumps(value), status=status, headers=headers, content_type="application/json", charset="utf-8"
    )

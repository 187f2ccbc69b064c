"""JSON answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from server.json_text import dumps

# As a header: aiohttp would take it apart and put it together again for each answer.
_JSON: Final = {"Content-Type": "application/json; charset=utf-8"}


def json_response(value: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(body=dumps(value), status=status, headers={**_JSON, **(headers or {})})

"""What every request must satisfy and what every answer carries, whatever the route."""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from server.errors import BadRequestError, ForbiddenError, MisdirectedRequestError

LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})

HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    # aiohttp's default tells its version.
    "Server": "jobs",
}


async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")


def is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def host_check(names: frozenset[str]) -> Middleware:
    """A page of another site that rebinds its name to this address still sends its own name, and is refused."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        host = request.headers.get("Host")
        if not host:
            raise BadRequestError("The Host header is missing")
        if _name(f"//{host}") not in names:
            raise MisdirectedRequestError("This server does not answer for that host name")
        return await handler(request)

    return check


@web.middleware
async def refuse_foreign_pages(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Browsers tell which page a request comes from; other programs send neither header."""
    if request.method not in SAFE_METHODS:
        site = request.headers.get("Sec-Fetch-Site", "none")
        origin = request.headers.get("Origin")
        if site not in ("none", "same-origin") or (origin is not None and not _same(origin, request)):
            raise ForbiddenError("Requests from pages of other sites are refused")
    return await handler(request)


def _same(origin: str, request: web.Request) -> bool:
    return urlsplit(origin).netloc.lower() == request.headers.get("Host", "").lower()


def _name(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return ""

"""What every request must satisfy and what every answer carries, whatever the route."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from aiohttp import HttpVersion10, HttpVersion11, web
from aiohttp.typedefs import Handler, Middleware
from aiohttp.web_request import BaseRequest

from jobqueue.config import ServerSettings
from server.errors import ForbiddenError, MisdirectedRequestError

_HOST: Final = re.compile(r"(\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9._-]{1,255})(:[0-9]{1,5})?")
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


def is_understood(request: BaseRequest) -> bool:
    """Whether no program between the client and here can have read this request in another way.

    That is: one Host, a target that is a path on it (this server is nobody's proxy), no coding but chunked, HTTP/1.
    """
    return (
        request.version in (HttpVersion10, HttpVersion11)
        and request.method != "CONNECT"
        and request.raw_path.startswith("/")
        and len(request.headers.getall("Host", ())) == 1
        and [value.lower() for value in request.headers.getall("Transfer-Encoding", ())] in ([], ["chunked"])
    )


def host_names(server: ServerSettings, address: str) -> frozenset[str] | None:
    """None: any will do. On other than loopback addresses nobody but the operator knows the names of this machine."""
    if not (server.allowed_hosts or is_loopback(address)):
        return None
    return LOOPBACK_NAMES | {name.lower() for name in (address, server.host, *server.allowed_hosts)}


def guard(names: frozenset[str] | None) -> Middleware:
    """Refuses what a page of another site sends. `names`: those of this server, None = any."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        # A page that rebinds its own name to this address still sends that name.
        if names is not None and _name(request.headers.get("Host", "")) not in names:
            raise MisdirectedRequestError("This server does not answer for that host name")
        if request.method not in SAFE_METHODS and _is_foreign(request):
            raise ForbiddenError("Requests from pages of other sites are refused")
        return await handler(request)

    return check


def _is_foreign(request: web.Request) -> bool:
    """Browsers tell which page a request comes from; other programs send neither header."""
    site = request.headers.get("Sec-Fetch-Site", "none")
    origin = request.headers.get("Origin")
    return site not in ("none", "same-origin") or (origin is not None and not _same(origin, request))


def _same(origin: str, request: web.Request) -> bool:
    try:
        return urlsplit(origin).netloc.lower() == request.headers.get("Host", "").lower()
    except ValueError:
        # No address at all, so not that of this server either.
        return False


@lru_cache(maxsize=256)
def _name(host: str) -> str:
    """Without port, brackets and last dot; empty for what is no host."""
    found = _HOST.fullmatch(host)
    return found[1].strip("[]").rstrip(".").lower() if found else ""

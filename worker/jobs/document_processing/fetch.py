"""One document from its address to bytes. Each step is looked at before it is made: the address, all that its name
stands for, and the same again for each redirect. What was looked at is what is connected to.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urljoin

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from worker.context import UrlRules
from worker.jobs.document_processing.errors import DocumentError
from worker.jobs.document_processing.unpack import NotUnpackedError, Unpacker
from worker.jobs.document_processing.urls import FORBIDDEN, canonical, is_listed, refusal
from worker.jobs.shared.addresses import NotPublicError, look_up, public_addresses
from worker.jobs.shared.patience import Patience

MOST_REDIRECTS: Final = 3
_HEADERS: Final = {"User-Agent": "jobqueue document_processing", "Accept-Encoding": "identity", "Accept": "*/*"}
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_GONE: Final = frozenset({404, 410})
_FOR_A_WHILE: Final = frozenset({408, 425, 429})
_NO_SUCH_NAME: Final = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})
# All that has a meaning in an address stays as it is.
_MEANT: Final = "%:/?#[]@!$&'()*+,;=~"
_LOOK_SECONDS: Final = 0.1
_BLOCK: Final = 65536


@dataclass(frozen=True, slots=True)
class Wanted:
    """`take` gets the bytes as they come, and may raise. `check` is called all the time and may raise JobCancelled."""

    url: str
    rules: UrlRules
    seconds: float
    refuse_larger: Callable[[int], None]
    take: Callable[[bytes], None]
    check: Callable[[], None]


def fetch(wanted: Wanted) -> str | None:
    """The encoding that the server names. Not inside of a running event loop: it has one of its own.

    `refuse_larger` is told the size before anything comes, where the server tells it. Raises DocumentError
    `url_forbidden`, `url_not_found`, `url_failed`, `url_timeout` or `url_sources_disabled`, and what the three
    functions raise.
    """
    with asyncio.Runner() as runner:
        return runner.run(_in_time(_follow(wanted), wanted))


async def _in_time(steps: Coroutine[Any, Any, str | None], wanted: Wanted) -> str | None:
    task = asyncio.get_running_loop().create_task(steps, name="fetch")
    patience = Patience(wanted.seconds)
    try:
        while not task.done():
            await asyncio.wait([task], timeout=_LOOK_SECONDS)
            wanted.check()
            if patience.is_over() and not task.done():
                message = f"The document had not come after {wanted.seconds:g} seconds and was given up."
                raise DocumentError("url_timeout", message, stage="fetch", retryable=True)
        return task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _follow(wanted: Wanted) -> str | None:
    url = wanted.url
    for _ in range(MOST_REDIRECTS + 1):
        addresses = await _addresses_of(url, wanted.rules, redirected=url != wanted.url)
        try:
            target, charset = await _get(url, addresses, wanted)
        except aiohttp.ClientConnectorCertificateError:
            raise _failed("The server's certificate is not valid for this address.") from None
        except aiohttp.ClientSSLError:
            raise _failed("No encrypted connection can be made with the server.") from None
        except aiohttp.InvalidURL:
            raise _failed("The address is written in a way that nobody connects to.") from None
        except (aiohttp.ClientError, OSError):
            raise _failed("The server cannot be reached, or it broke off its answer.", retryable=True) from None
        if target is None:
            return charset
        url = target
    raise _failed(f"The server redirects more than {MOST_REDIRECTS} times.")


async def _addresses_of(url: str, rules: UrlRules, *, redirected: bool) -> list[str]:
    """Those that may be connected to. Raises DocumentError."""
    refused = refusal(url, rules.access, rules.origins)
    if refused is not None and redirected:
        raise _forbidden("The server redirects to an address from which nothing may be fetched.")
    if refused is not None:
        raise DocumentError(refused.code, f"The address {refused.message}.", stage="fetch")
    try:
        return await (look_up(url) if is_listed(url, rules.origins) else public_addresses(url))
    except NotPublicError:
        raise _forbidden("The address leads to a place that is not public.") from None
    except OSError as error:
        if error.errno in _NO_SUCH_NAME:
            raise _not_found("There is no server of this name.") from None
        raise _failed("The name of the server cannot be looked up.", retryable=True) from None


async def _get(url: str, addresses: list[str], wanted: Wanted) -> tuple[str | None, str | None]:
    """Where it redirects to, and the encoding that the server names."""
    connector = aiohttp.TCPConnector(resolver=_Known(addresses), use_dns_cache=False)
    session = aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
        trust_env=False,
        headers=_HEADERS,
    )
    tls = ssl.create_default_context() if url.startswith("https:") else True
    request = session.get(URL(url, encoded=True), allow_redirects=False, ssl=tls)
    # Once more inside, so that it closes while it still has the connection: only then it waits until that is gone.
    async with session, request as response, session:
        if response.status in _REDIRECTS:
            return _target(url, response.headers.get("Location")), None
        if response.status != 200:
            raise _of_status(response.status)
        await _read(response, wanted)
        return None, response.charset


async def _read(response: aiohttp.ClientResponse, wanted: Wanted) -> None:
    wanted.refuse_larger(response.content_length or 0)
    try:
        unpacker = Unpacker(response.headers.get("Content-Encoding", ""))
        async for block in response.content.iter_chunked(_BLOCK):
            for piece in unpacker.pieces(block):
                wanted.take(piece)
        unpacker.finish()
    except NotUnpackedError:
        message = (
            "The server sends the document compressed, which was not asked for, and in a way that is not understood."
        )
        raise _failed(message) from None


def _target(url: str, location: str | None) -> str:
    if not location:
        raise _failed("The server redirects without an address.")
    try:
        target = canonical(urljoin(url, quote(location, safe=_MEANT, errors="surrogateescape")))
    except ValueError:
        raise _forbidden("The server redirects to what is no address of a document.") from None
    if url.startswith("https:") and not target.startswith("https:"):
        raise _forbidden("The server redirects from https to http.")
    return target


class _Known(AbstractResolver):
    """Knows the addresses already, whatever the name would stand for by now."""

    def __init__(self, addresses: list[str]) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._addresses
        ]

    async def close(self) -> None:
        pass


def _of_status(status: int) -> DocumentError:
    if status in _GONE:
        return _not_found(f"The server says that there is no such document (HTTP {status}).")
    return _failed(f"The server does not send the document (HTTP {status}).", status >= 500 or status in _FOR_A_WHILE)


def _forbidden(message: str) -> DocumentError:
    return DocumentError(FORBIDDEN, message, stage="fetch")


def _not_found(message: str) -> DocumentError:
    return DocumentError("url_not_found", message, stage="fetch")


def _failed(message: str, retryable: bool = False) -> DocumentError:
    return DocumentError("url_failed", message, stage="fetch", retryable=retryable)

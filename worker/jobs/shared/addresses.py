"""Where a job may connect to when a stranger names the address: public ones, on the usual ports.

A job's own address counts as input of a stranger: it must not reach what only this machine can reach. Light: the
server looks at it at submit.
"""

from __future__ import annotations

import asyncio
import re
import socket
from concurrent.futures import Future
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from threading import Thread
from typing import Final
from urllib.parse import urlsplit

# Scheme, host and port: so narrow that no two readers of addresses can understand it differently.
ORIGIN: Final = r"(?:http|https)://(?:\[[0-9a-f:.]{2,45}\]|[a-z0-9._-]{1,253})(?::[0-9]{1,5})?"
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_PORTS: Final = frozenset(_DEFAULT_PORTS.values())
# All that is given out on the Internet. NAT64 and the like, which lead to any IPv4 address, lie outside of it.
_PUBLIC_IPV6: Final = IPv6Network("2000::/3")
_SIX_TO_FOUR: Final = IPv6Network("2002::/16")


class NotPublicError(Exception):
    """The name stands for an address that is not public; the text is the name."""


def has_form(url: str, rest: str) -> bool:
    """Whether it is an origin with `rest`, a pattern, behind it."""
    return bool(re.fullmatch(ORIGIN + rest, url, re.IGNORECASE | re.ASCII)) and 0 < port_of(url) < 65536


def problem_of(url: str, setting: str) -> str | None:
    """Why it is refused, as far as that is known without asking for its name. `setting`: where it could be listed."""
    host = host_of(url)
    listing = f"the operator can list it in {setting}"
    if port_of(url) not in _PORTS:
        return f"has the port {port_of(url)}; a job may use 80 and 443 only, unless {listing.replace('can', 'does')}"
    literal = _literal(host)
    if literal is not None and not is_public(literal):
        return f"leads to {host}, which is not a public address; {listing}"
    if host == "localhost" or host.endswith(".localhost"):
        return f"leads to this machine; {listing}"
    return None


async def public_addresses(url: str) -> list[str]:
    """All that its name stands for. Raises NotPublicError when one is not public, and OSError as `look_up`."""
    addresses = await look_up(url)
    if not all(is_public(ip_address(address)) for address in addresses):
        raise NotPublicError(host_of(url))
    return addresses


async def look_up(url: str) -> list[str]:
    """All addresses that its name stands for. Raises OSError when there is no such name."""
    answer: Future[list[str]] = Future()
    # Nobody waits for its end: a name server that is silent must not keep a job that was asked to stop.
    Thread(target=_ask, args=(answer, host_of(url), port_of(url)), name="look-up", daemon=True).start()
    return await asyncio.wrap_future(answer)


def is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address not in _PUBLIC_IPV6 or address in _SIX_TO_FOUR:
            return False
    return address.is_global and not address.is_multicast


def origin_of(url: str) -> tuple[str, str, int]:
    return urlsplit(url).scheme, host_of(url), port_of(url)


def host_of(url: str) -> str:
    return (urlsplit(url).hostname or "").rstrip(".")


def port_of(url: str) -> int:
    """0 when the address has none that could be."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return 0
    return _DEFAULT_PORTS.get(parts.scheme, 0) if port is None else port


def _ask(answer: Future[list[str]], host: str, port: int) -> None:
    # From here on nobody can cancel it, so that there is always somebody to answer to.
    if not answer.set_running_or_notify_cancel():
        return
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "The name stands for nothing")
    except UnicodeError:
        answer.set_exception(socket.gaierror(socket.EAI_NONAME, "This cannot be a name"))
    except OSError as error:
        answer.set_exception(error)
    else:
        answer.set_result(list(dict.fromkeys(str(entry[4][0]) for entry in found)))


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        pass
    try:
        # Short, octal and hexadecimal forms, which resolvers take for addresses too.
        return IPv4Address(socket.inet_aton(host))
    except OSError:
        return None

"""Which addresses a job may talk to: those that the operator lists, and public ones.

A job's own address counts as input of a stranger: it must not reach what only this machine can reach. Light: the
server looks at it at submit.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import urlsplit

from worker.context import PermanentError

REFUSED: Final = "llm_base_url_refused"
# So narrow that no two readers of addresses can understand it differently.
_URL: Final = re.compile(
    r"(?:http|https)://(?:\[[0-9a-f:.]{2,45}\]|[a-z0-9._-]{1,253})(?::[0-9]{1,5})?(?:/[a-z0-9._~/%:+-]*)?",
    re.IGNORECASE,
)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_PORTS: Final = frozenset(_DEFAULT_PORTS.values())
# All that is given out on the Internet. NAT64 and the like, which lead to any IPv4 address, lie outside of it.
_PUBLIC_IPV6: Final = IPv6Network("2000::/3")
_SIX_TO_FOUR: Final = IPv6Network("2002::/16")
_LISTING: Final = "the operator can list it in llm.base_urls"


def form_problem(url: str) -> str | None:
    """What is wrong with the address itself, wherever it leads."""
    if not _URL.fullmatch(url) or not 0 < port_of(url) < 65536:
        return "must look like https://host/v1, without a user, a password, a query or a fragment"
    return None


def is_listed(url: str, base_urls: Iterable[str]) -> bool:
    return _normal(url) in {_normal(listed) for listed in base_urls}


def problem_of(url: str) -> str | None:
    """Why an address that is not listed is refused, as far as that is known without asking for its name."""
    host = host_of(url)
    if port_of(url) not in _PORTS:
        return f"has the port {port_of(url)}; a job may use 80 and 443 only, unless {_LISTING.replace('can', 'does')}"
    literal = _literal(host)
    if literal is not None and not is_public(literal):
        return f"leads to {host}, which is not a public address; {_LISTING}"
    if host == "localhost" or host.endswith(".localhost"):
        return f"leads to this machine; {_LISTING}"
    return None


async def public_address(url: str, field: str) -> str:
    """The one to connect to; all that the name stands for are looked at. `field`: the parameter that has the `url`.

    Raises PermanentError `llm_base_url_refused`, and OSError when there is no such name.
    """
    problem = problem_of(url)
    if problem is not None:
        raise PermanentError(REFUSED, f"{field}.base_url {problem}.")
    host, port = host_of(url), port_of(url)
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    for address in addresses:
        if not is_public(ip_address(address)):
            raise PermanentError(REFUSED, f"{field}.base_url: {host} is not a public address; {_LISTING}.")
    return addresses[0]


def is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address not in _PUBLIC_IPV6 or address in _SIX_TO_FOUR:
            return False
    return address.is_global and not address.is_multicast


def host_of(url: str) -> str:
    return (urlsplit(url).hostname or "").rstrip(".")


def port_of(url: str) -> int:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        return 0
    return _DEFAULT_PORTS.get(parts.scheme, 0) if port is None else port


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


def _normal(url: str) -> tuple[str, str, int, str]:
    parts = urlsplit(url)
    return parts.scheme, host_of(url), port_of(url), parts.path.rstrip("/")

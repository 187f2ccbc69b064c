"""Is this Redis or Valkey one to trust with jobs: known holes of its version, and settings that lose data."""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple

from jobqueue.link import Link
from jobqueue.wire import ReplyError

Product = Literal["Valkey", "Redis"]
Version = tuple[int, int, int]

OLDEST: Final[dict[Product, Version]] = {"Valkey": (8, 0, 0), "Redis": (7, 0, 0)}


class Hole(NamedTuple):
    """`fixed`: the first versions without it, one a release line. A line that is not listed has it below the newest."""

    names: str
    fixed: tuple[Version, ...]


_LUA: Final = "CVE-2025-49844, CVE-2025-46817, CVE-2025-46818, CVE-2025-46819 (Lua, remote code execution)"
HOLES: Final[dict[Product, tuple[Hole, ...]]] = {
    "Valkey": (
        Hole(_LUA, ((7, 2, 11), (8, 0, 6), (8, 1, 4))),
        Hole("CVE-2026-21863", ((9, 0, 2),)),
        Hole("CVE-2026-27623", ((9, 0, 3),)),
        Hole("CVE-2026-56684, CVE-2026-63639", ((9, 1, 1),)),
    ),
    "Redis": (
        Hole(_LUA, ((6, 2, 20), (7, 2, 11), (7, 4, 6), (8, 0, 4), (8, 2, 2))),
        Hole("CVE-2026-23479", ((8, 6, 3),)),
    ),
}


async def check_server(link: Link) -> list[str]:
    """Warnings for the log. Raises QueueUnavailable when there is no answer."""
    try:
        reply = await link.call("INFO", "server", "memory", "persistence")
    except ReplyError as error:
        return [f"the version and settings of Redis cannot be checked: {error}"]
    return warnings(_read(reply))


def warnings(info: dict[str, str]) -> list[str]:
    """`info`: lines of INFO by name."""
    return version_warnings(info) + settings_warnings(info)


def version_warnings(info: dict[str, str]) -> list[str]:
    # Valkey says in `redis_version` what it is compatible with.
    product: Product = "Valkey" if "valkey_version" in info else "Redis"
    text = info.get("valkey_version") or info.get("redis_version", "")
    version = parse(text)
    if version is None:
        return [f"the version of {product} is not understood, so it cannot be checked for known holes"]
    found = []
    if version < OLDEST[product]:
        found.append(f"{product} {text} is too old: {_dotted(OLDEST[product])} or newer is needed")
    for hole in HOLES[product]:
        fix = fix_for(version, hole)
        if fix is not None:
            found.append(f"{product} {text} is older than {_dotted(fix)}, which fixes {hole.names}: update it")
    return found


def fix_for(version: Version, hole: Hole) -> Version | None:
    """The version that mends it; None when this one is not affected."""
    fix = next((fixed for fixed in hole.fixed if fixed[:2] == version[:2]), max(hole.fixed))
    return fix if version < fix else None


def settings_warnings(info: dict[str, str]) -> list[str]:
    found = []
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        found.append(f"maxmemory-policy is {policy}: Redis will throw jobs away when memory is full; set noeviction")
    if info.get("aof_enabled") == "0":
        found.append("appendonly is off: accepted jobs are lost when Redis ends; set appendonly yes")
    return found


def parse(text: str) -> Version | None:
    """`9.1.2` and what builders append to it."""
    parts = text.split("-")[0].split(".")[:3]
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() and len(part) < 6 for part in parts):
        return None
    return int(parts[0]), int(parts[1]), int(parts[2])


def _dotted(version: Version) -> str:
    return ".".join(map(str, version))


def _read(reply: Any) -> dict[str, str]:
    text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else str(reply)
    pairs = (line.partition(":") for line in text.splitlines() if not line.startswith("#"))
    return {name: value for name, colon, value in pairs if colon}

"""Warnings about the version and the settings of the Redis that jobs are trusted to."""

from __future__ import annotations

from typing import Any

import pytest

from jobqueue.server_version import HOLES, check_server, fix_for, parse, warnings
from jobqueue.wire import ReplyError

GOOD = {"valkey_version": "9.1.2", "redis_version": "7.2.4", "maxmemory_policy": "noeviction", "aof_enabled": "1"}


class FakeLink:
    def __init__(self, reply: Any) -> None:
        self._reply = reply

    async def call(self, *command: str) -> Any:
        assert command[0] == "INFO"
        if isinstance(self._reply, Exception):
            raise self._reply
        return self._reply


def test_sec_B4_a_good_server_causes_no_words() -> None:
    assert warnings(GOOD) == []
    assert warnings({**GOOD, "valkey_version": "10.0.0-rc1"}) == []
    assert warnings({"redis_version": "8.6.3", "aof_enabled": "1"}) == []


@pytest.mark.parametrize(
    ("product", "version", "cves"),
    [
        ("valkey", "9.1.0", ["CVE-2026-56684"]),
        ("valkey", "9.0.2", ["CVE-2026-27623", "CVE-2026-56684"]),
        ("valkey", "9.0.1", ["CVE-2026-21863", "CVE-2026-27623", "CVE-2026-56684"]),
        ("valkey", "8.1.3", ["CVE-2025-49844", "CVE-2026-21863"]),
        ("valkey", "8.0.5", ["CVE-2025-49844"]),
        ("redis", "8.2.1", ["CVE-2025-49844", "CVE-2026-23479"]),
        ("redis", "7.2.10", ["CVE-2025-49844"]),
        ("redis", "7.0.15", ["CVE-2025-49844"]),
    ],
)
def test_sec_B4_old_versions_are_named_with_their_holes(product: str, version: str, cves: list[str]) -> None:
    info = {**(GOOD if product == "valkey" else {"aof_enabled": "1"}), f"{product}_version": version}
    found = "\n".join(warnings(info))
    assert all(cve in found for cve in cves) and version in found


@pytest.mark.parametrize("version", [(8, 1, 4), (8, 0, 6), (9, 0, 0)])
def test_sec_B4_a_fix_in_the_same_line_counts(version: tuple[int, int, int]) -> None:
    assert fix_for(version, HOLES["Valkey"][0]) is None


def test_sec_B4_too_old_and_unreadable() -> None:
    assert "7.0.0 or newer" in warnings({"redis_version": "6.2.20", "aof_enabled": "1"})[0]
    assert "8.0.0 or newer" in warnings({**GOOD, "valkey_version": "7.2.11"})[0]
    for text in ("", "nine", "9.1", "9.x.1", "9.1.99999999"):
        assert parse(text) is None
        assert "not understood" in warnings({**GOOD, "valkey_version": text, "redis_version": text})[0]


def test_sec_D12_settings_that_lose_jobs_are_named() -> None:
    assert "allkeys-lru" in warnings({**GOOD, "maxmemory_policy": "allkeys-lru"})[0]
    assert "appendonly" in warnings({**GOOD, "aof_enabled": "0"})[0]


async def test_sec_B4_check_server_reads_info() -> None:
    text = "# Server\r\n" + "\r\n".join(f"{name}:{value}" for name, value in GOOD.items()) + "\r\n"
    assert await check_server(FakeLink(text.encode())) == []  # type: ignore[arg-type]
    assert "appendonly" in (await check_server(FakeLink(text.replace("aof_enabled:1", "aof_enabled:0"))))[0]  # type: ignore[arg-type]
    refused = await check_server(FakeLink(ReplyError("NOPERM no")))  # type: ignore[arg-type]
    assert len(refused) == 1 and "cannot be checked" in refused[0]

"""The cleanup cycle: one server at a time walks over all keys of the namespace, in small slices, and puts them right.

Records expire by themselves when their retention is over. What is left of them in indexes and on disk goes here, and
whatever a lost or foreign write left in a state that no transition would leave.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, dataclass
from typing import Final

from jobqueue import key_types
from jobqueue.config import RetentionSettings
from jobqueue.errors import CleanupSuperseded
from jobqueue.job_folders import JobFolders
from jobqueue.namespace import Namespace
from jobqueue.wire import Argument

log = logging.getLogger(__name__)

# Slices of this size keep everybody else waiting for about a millisecond.
RECORDS: Final = 100
ENTRIES: Final = 250
KEYS: Final = 500
# Without a sign of life of the server that cleans up, another may begin after so long; two at once would do no harm.
LONGEST_HOLD_US: Final = 10_000_000
SHORTEST_HOLD_US: Final = 2_000_000
# Every process beats each five seconds; within this time those that lived through an outage of Redis are heard again.
COLD_START_PATIENCE_US: Final = 15_000_000


@dataclass(slots=True)
class CleanupReport:
    """What one cycle did. `cold_removed`: jobs that a cold start removed; `entries_dropped`: index entries of jobs that
    are gone, and keys that lay beside their records; `repaired`, `damaged`: records (expected: none);
    `folders_removed`: of jobs that are gone.
    """

    cold_removed: int = 0
    entries_dropped: int = 0
    repaired: int = 0
    damaged: int = 0
    folders_removed: int = 0
    keys_put_aside: int = 0


class Cleanup:
    """`name`: of this process. Any number of them may run at once; each cycle is done by one."""

    def __init__(self, namespace: Namespace, name: str, retention: RetentionSettings, folders: JobFolders) -> None:
        self._namespace = namespace
        self._name = name
        self._interval_us = int(retention.interval_seconds * 1_000_000)
        self._hold_us = max(SHORTEST_HOLD_US, min(LONGEST_HOLD_US, self._interval_us))
        self._cold_us = retention.cold_start_seconds * 1_000_000
        self._folders = folders

    async def run_if_due(self) -> CleanupReport | None:
        """None: it is not time yet, or another server does it. Raises QueueError; the next call begins again."""
        begin: dict[str, Argument] = {
            "server": self._name,
            "interval": self._interval_us,
            "hold": self._hold_us,
            "patience": COLD_START_PATIENCE_US,
        }
        term, cold_start, namespace_id, strange = await self._namespace.run("begin_cleanup", begin)
        if not term:
            return None
        ended_before = int(cold_start) - self._cold_us if cold_start and self._cold_us else 0
        cycle = _Cycle(self._namespace, {"term": term, "hold": self._hold_us}, ended_before)
        try:
            if strange:
                await cycle.mend_types()
            await cycle.walk()
            cycle.report.folders_removed = await self._folders.remove_orphans(namespace_id.decode())
            await cycle.end(cold_start)
        except CleanupSuperseded:
            log.warning("the cleanup was taken over by another server")
            return None
        return cycle.report


class _Cycle:
    def __init__(self, namespace: Namespace, term: Mapping[str, Argument], ended_before: int) -> None:
        self._namespace = namespace
        self._term = term
        self._ended_before = ended_before
        self.report = CleanupReport()

    async def mend_types(self) -> None:
        """Before anything else is read: one such key makes every other step fail."""
        keys = self._namespace.keys
        await self._mend(list(key_types.single(keys).items()))
        async for page in self._pages():
            await self._mend([(key, kind) for key in page if (kind := key_types.type_of(keys, key))])

    async def _mend(self, typed: list[tuple[str, str]]) -> None:
        for first in range(0, len(typed), KEYS):
            items = [value for pair in typed[first : first + KEYS] for value in pair]
            self.report.keys_put_aside += await self._namespace.run("mend_types", self._term, items)

    async def walk(self) -> None:
        """Every key once, or twice: SCAN promises no less, and each step may be repeated."""
        async for keys in self._pages():
            found = [(key, *what) for key in keys if (what := self._namespace.keys.describe(key))]
            await self._audit([name for _, kind, name in found if kind == "job"])
            await self._drop_leftovers([(key, name) for key, kind, name in found if kind == "leftover"])
            for key, kind, name in found:
                if kind not in ("job", "leftover"):
                    await self._clean_index(key, kind, name)

    async def end(self, cold_start: Argument) -> None:
        report = json.dumps(asdict(self.report), separators=(",", ":"))
        await self._namespace.run("end_cleanup", {**self._term, "cold_start": cold_start, "report": report})

    async def _pages(self) -> AsyncIterator[list[str]]:
        cursor: bytes | int = 0
        pattern = f"{self._namespace.keys.prefix}:*"
        while True:
            cursor, keys = await self._namespace.call("SCAN", cursor, "MATCH", pattern, "COUNT", KEYS)
            # No name of ours is anything else than text.
            yield [text for key in keys if "\ufffd" not in (text := key.decode("utf-8", "replace"))]
            if int(cursor) == 0:
                return

    async def _audit(self, job_ids: list[str]) -> None:
        for first in range(0, len(job_ids), RECORDS):
            items = job_ids[first : first + RECORDS]
            given: dict[str, Argument] = {**self._term, "ended_before": self._ended_before}
            removed, repaired, damaged = await self._namespace.run("audit", given, items)
            self.report.cold_removed += removed
            self.report.repaired += repaired
            self.report.damaged += damaged

    async def _drop_leftovers(self, keys: list[tuple[str, str]]) -> None:
        for first in range(0, len(keys), KEYS):
            items = [value for pair in keys[first : first + KEYS] for value in pair]
            self.report.entries_dropped += await self._namespace.run("drop_leftovers", self._term, items)

    async def _clean_index(self, key: str, kind: str, name: str) -> None:
        wanted = key_types.type_of(self._namespace.keys, key)
        assert wanted is not None, f"the type of an index is not known: {kind}"
        index: dict[str, Argument] = {"key": key, "kind": kind, "name": name, "wanted": wanted, "batch": ENTRIES}
        cursor = b"0"
        while True:
            cursor, dropped = await self._namespace.run("clean_index", {**self._term, **index, "cursor": cursor})
            self.report.entries_dropped += dropped
            if cursor == b"0":
                return

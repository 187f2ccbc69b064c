"""Background duties, each one bounded and safe in any number of servers and workers at once: the scripts throttle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from jobqueue.namespace import Namespace

BATCH: Final = 100
# Scripts that the sweep asks for when they have something to do; each answers whether there is more.
CHORES: Final = ("release", "expire", "sort_lines")
SILENCE_US: Final = 300_000_000


@dataclass(frozen=True, slots=True)
class TickReport:
    """What one tick did; `more` = there is work left, tick again at once."""

    rescued: int
    failed: int
    promoted: int
    adopted: int
    more: bool


class Maintenance:
    """`interval_us`: the least time between two ticks that act, over all processes."""

    def __init__(self, namespace: Namespace, *, lease_us: int, interval_us: int) -> None:
        self._namespace = namespace
        self._lease_us = lease_us
        self._interval_us = interval_us
        self._more = False
        self._cursor = "0"
        self._chores: set[str] = set()

    async def tick(self) -> TickReport:
        """Rescue expired leases, move due jobs into their lines, let stock jobs join the index, do the chores."""
        # A bit less than the interval, so that tickers in step do not skip every other beat.
        interval = 0 if self._more else self._interval_us * 9 // 10
        rescued, failed, _, more_leases = await self._namespace.run(
            "rescue", {"interval": interval, "lease": self._lease_us, "batch": BATCH, "tick": self._interval_us}
        )
        promoted, more_due = await self._namespace.run("promote_due", {"interval": interval, "batch": 2 * BATCH})
        adopted, cursor, chores = await self._namespace.run(
            "sweep", {"interval": self._interval_us * 9 // 10, "cursor": self._cursor, "batch": BATCH // 2}
        )
        self._cursor = cursor.decode()
        self._chores |= {chore.decode() for chore in chores}
        await self._do_chores()
        self._more = bool(more_leases or more_due or self._chores & set(CHORES))
        return TickReport(rescued, failed, promoted, adopted, self._more)

    async def _do_chores(self) -> None:
        # Others than these are a newer version's.
        for name in CHORES:
            if name in self._chores and not await self._namespace.run(name, {"batch": 2 * BATCH}):
                self._chores.discard(name)

    async def check_workers(self) -> int:
        """Remove the registrations of workers silent for five minutes; the number removed."""
        keys = self._namespace.keys
        removed = 0
        # Names stay bytes: not everybody's are text.
        offset = len(keys.worker("").encode())
        for key in await self._namespace.call("SMEMBERS", keys.workers):
            removed += await self._namespace.run("remove_worker", {"worker": key[offset:], "silence": SILENCE_US})
        return removed

"""How the memory that a job may use is shared out to its processes."""

from __future__ import annotations

from typing import Final, NamedTuple

MB: Final = 1024 * 1024
# Of addresses: some libraries reserve nearly as much before they begin.
_LEAST_MB: Final = 600
# For the job's own process, and for what is shared between processes and counted in each.
_RESERVE_MB: Final = 200


class Shares(NamedTuple):
    """`processes`: as many as have enough room; bytes of addresses for each of them, and for one that is alone."""

    processes: int
    each: int
    alone: int


def share_out(processes: int, memory_limit_mb: int) -> Shares:
    """At most so many `processes`. All together stay within the limit, unless it is too small for a single one."""
    room = max(memory_limit_mb - _RESERVE_MB, _LEAST_MB)
    processes = min(processes, room // _LEAST_MB)
    return Shares(processes, room // processes * MB, room * MB)

"""One look at the whole system: who is alive, how many jobs there are. Times in unix microseconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jobqueue.states import State


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerInfo:
    """`running`: executions it holds. `stock`: a worker of RQ's own. `draining`: it takes nothing new and ends soon."""

    name: str
    host: str
    pid: int
    queues: tuple[str, ...]
    concurrency: int
    running: int
    rss_mb: int
    heartbeat_age_seconds: float
    stock: bool = False
    draining: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """One atomic look: counts of retained jobs by state, limits in force, who is alive.

    `cleanup`: the fields of the last `CleanupReport`, None before the first.
    """

    counts: Mapping[State, int]
    limit_total: int
    limit_per_user: int
    last_cleanup: int | None
    workers: tuple[WorkerInfo, ...]
    servers_rss_mb: int
    redis_memory_mb: int
    server_time: int
    cleanup: Mapping[str, int] | None = None

"""Queue statistics as JSON."""

from __future__ import annotations

from typing import Any, Final, Literal

from jobqueue import Stats, WorkerInfo
from jobqueue.states import State
from server import times
from server.gauges import Gauges
from server.hub import Hub

STALE_SECONDS: Final = 15.0
STATES: Final[tuple[State, ...]] = ("pending", "running", "scheduled", "completed", "failed", "cancelled")

Health = Literal["healthy", "warning", "critical"]


def is_active(worker: WorkerInfo) -> bool:
    """Stock workers beat seldom, but their registration expires by itself: while it is there they live."""
    return worker.stock or worker.heartbeat_age_seconds < STALE_SECONDS


def health(stats: Stats) -> Health:
    active = sum(map(is_active, stats.workers))
    if not active:
        return "critical" if stats.counts.get("pending", 0) else "warning"
    return "healthy" if active == len(stats.workers) else "warning"


def stats_json(stats: Stats, gauges: Gauges, hub: Hub) -> dict[str, Any]:
    counts = {f"{state}_jobs": stats.counts.get(state, 0) for state in STATES}
    # Before its first heartbeat this server is not among those that Redis knows.
    servers_mb = max(stats.servers_rss_mb, gauges.rss_mb)
    return {
        **counts,
        "total_jobs": sum(counts.values()),
        "queue_type": "redis",
        "cache_size": hub.snapshots,
        "active_workers": sum(map(is_active, stats.workers)),
        "cpu_usage_percent": gauges.cpu_percent,
        "memory_usage_mb": servers_mb + sum(worker.rss_mb for worker in stats.workers),
        "global_max_concurrent_jobs": stats.limit_total,
        "per_user_max_concurrent_jobs": stats.limit_per_user,
        "worker_health_status": health(stats),
        "last_cleanup": times.to_text(stats.last_cleanup),
        "cleanup": stats.cleanup,
        "workers": [worker_json(worker) for worker in stats.workers],
        "redis_memory_mb": stats.redis_memory_mb,
        "open_watches": hub.watchers,
        "push_lag_ms": round(hub.lag_ms, 1),
    }


def worker_json(worker: WorkerInfo) -> dict[str, Any]:
    return {
        "name": worker.name,
        "host": worker.host,
        "pid": worker.pid,
        "queues": list(worker.queues),
        "concurrency": worker.concurrency,
        "running": worker.running,
        "rss_mb": worker.rss_mb,
        "draining": worker.draining,
        "heartbeat_age_seconds": round(worker.heartbeat_age_seconds, 1),
    }

"""Figures of this host and process, sampled in the background so that reading them costs nothing."""

from __future__ import annotations

import asyncio

import psutil


class Gauges:
    def __init__(self) -> None:
        self.cpu_percent = 0.0
        self.rss_mb = 0
        self._busy = 0.0
        self._total = 0.0

    async def sample_cpu(self) -> None:
        """Of the host, since the last sample; the first sample counts from the host's start."""
        times = await asyncio.to_thread(psutil.cpu_times)
        # Guests are counted within user time already.
        total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        busy = total - times.idle - getattr(times, "iowait", 0.0)
        if total > self._total:
            share = (busy - self._busy) / (total - self._total)
            self.cpu_percent = round(min(100.0, max(0.0, 100 * share)), 1)
        self._busy, self._total = busy, total

    async def sample_memory(self) -> None:
        self.rss_mb = await asyncio.to_thread(_tree_rss_mb)


def _tree_rss_mb() -> int:
    me = psutil.Process()
    return int(me.memory_info().rss + sum(map(_rss, me.children(recursive=True)))) // 1_000_000


def _rss(child: psutil.Process) -> int:
    try:
        # An embedded server's memory is data, which the statistics give apart.
        return 0 if child.name().startswith("valkey") else int(child.memory_info().rss)
    except psutil.Error:
        return 0

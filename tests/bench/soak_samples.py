"""What a soak looks at: memory, descriptors and threads of each process; keys and memory of Valkey."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import psutil
import redis

MB = 1_000_000
# Of the load's time, before memory is judged: caches, pools and the allocator fill.
WARM_UP = 0.4
COUNT = "valkey's count"


@dataclass(frozen=True)
class Usage:
    rss: int
    descriptors: int
    threads: int


@dataclass(frozen=True)
class Sample:
    at: float
    usage: Mapping[str, Usage]
    keys: int
    memory: int


class Sampler:
    """The first sample is the base that all is to come back to."""

    def __init__(self, pids: Mapping[str, int], client: redis.Redis) -> None:
        self._processes = {name: psutil.Process(pid) for name, pid in pids.items()}
        self._client = client
        self._samples: list[Sample] = []
        self._loaded = 0

    @property
    def base(self) -> Sample:
        return self._samples[0]

    def sample(self) -> None:
        usage = {name: _usage(process) for name, process in self._processes.items()}
        memory = int(self._client.info("memory")["used_memory"])
        self._samples.append(Sample(time.monotonic(), usage, self.keys_now(), memory))

    def end_of_load(self) -> None:
        self._loaded = len(self._samples)

    def keys_now(self) -> int:
        return int(self._client.dbsize())

    def descriptors_are_back(self, more: int) -> Callable[[], bool]:
        def back() -> bool:
            now = {name: process.num_fds() for name, process in self._processes.items()}
            return all(count <= self.base.usage[name].descriptors + more for name, count in now.items())

        return back

    def slopes(self) -> dict[str, float]:
        """Megabytes a minute under load, after the warm-up; Valkey's own count of its memory is a row too."""
        under_load = self._samples[1 : self._loaded]
        judged = under_load[int(len(under_load) * WARM_UP) :]
        if len(judged) < 2:
            return {}
        minutes = [sample.at / 60 for sample in judged]
        rows = {name: [sample.usage[name].rss / MB for sample in judged] for name in self._processes}
        rows[COUNT] = [sample.memory / MB for sample in judged]
        return {name: statistics.linear_regression(minutes, values).slope for name, values in rows.items()}

    def table(self) -> str:
        slopes = self.slopes()
        peak = self._samples[: self._loaded]
        lines = [
            "| process | RSS MB base / load / end | MB a minute | descriptors | threads |",
            "|---|--:|--:|--:|--:|",
        ]
        for name in self._processes:
            first, load, last = (sample.usage[name] for sample in (self.base, peak[-1], self._samples[-1]))
            descriptors = max(sample.usage[name].descriptors for sample in peak)
            lines.append(
                f"| {name} | {first.rss / MB:.1f} / {load.rss / MB:.1f} / {last.rss / MB:.1f} "
                f"| {slopes.get(name, float('nan')):.2f} | {first.descriptors} / {descriptors} / {last.descriptors} "
                f"| {first.threads} / {load.threads} / {last.threads} |"
            )
        first_sample, last_sample = self.base, self._samples[-1]
        keys = max(sample.keys for sample in peak)
        lines.append("")
        lines.append(
            f"Keys: {first_sample.keys} / {keys} / {last_sample.keys} (base / most / end); Valkey counts "
            f"{first_sample.memory / MB:.2f} / {peak[-1].memory / MB:.2f} / {last_sample.memory / MB:.2f} MB, "
            f"{slopes.get(COUNT, float('nan')):.2f} MB a minute"
        )
        return "\n".join(lines)


def _usage(process: psutil.Process) -> Usage:
    with process.oneshot():
        return Usage(process.memory_info().rss, process.num_fds(), process.num_threads())

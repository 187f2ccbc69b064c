"""The figures that were asked for: submit, status, jobs a minute, memory of a worker, each with its margin."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable
from typing import Any

from programs import Program

GIB = 1024**3


def run_jobs(
    server: Program, worker: Program, submit: Callable[[int], list[str]], count: int, seconds: float = 600
) -> tuple[float, int]:
    """Jobs a minute through one worker with the default settings, and its peak of resident bytes, children included."""
    started = time.monotonic()
    submit(count)
    peak = 0
    while (counts := _counts(server))["completed"] < count:
        peak = max(peak, worker.rss())
        if counts["failed"] or time.monotonic() - started > seconds:
            raise RuntimeError(f"the jobs do not complete: {counts}")
        time.sleep(0.1)
    return count / (time.monotonic() - started) * 60, peak


def _counts(server: Program) -> dict[str, int]:
    with urllib.request.urlopen(f"http://{server.address}/api/v1/jobs/queue/stats", timeout=10) as answer:
        stats: dict[str, Any] = json.load(answer)
    return {state: int(stats[f"{state}_jobs"]) for state in ("completed", "failed")}


def print_rows(submitted: dict[str, Any], read: dict[str, Any], rate: float, rss: int, jobs: int) -> None:
    print("\nWhat was asked for, on the real defaults (embedded Valkey, AOF always)\n")
    print("| figure | asked | found | margin |\n|---|--:|--:|--:|")
    print(f"| submit, mean | < 100 ms | {submitted['mean']:.2f} ms | {100 / submitted['mean']:.0f}x |")
    print(f"| submit, p50 / p99 | - | {submitted['p50']:.2f} / {submitted['p99']:.2f} ms | |")
    print(f"| status, mean | < 50 ms | {read['mean']:.2f} ms | {50 / read['mean']:.0f}x |")
    print(f"| document_processing, {jobs} small texts, one worker | 100 a minute | {rate:.0f} | {rate / 100:.1f}x |")
    print(f"| worker with its children, peak | < 2 GiB | {rss / GIB:.2f} GiB | {2 * GIB / rss:.0f}x |")

"""Limits as the machine sees them: from the traces of the runs themselves, not from any counter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support import System, running, wait_for

pytestmark = [pytest.mark.process, pytest.mark.timeout(150)]


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    yield from running(tmp_path)


def most_at_once(spans: list[tuple[float, float]]) -> int:
    moments = sorted([(start, 1) for start, _ in spans] + [(end, -1) for _, end in spans])
    running_now = most = 0
    for _, change in moments:
        running_now += change
        most = max(most, running_now)
    return most


def test_api_F2_F11_M1_three_workers_under_load_stay_within_ten_and_three(system: System) -> None:
    system.server()
    for _ in range(3):
        system.worker()
    owners = {system.submit(user=f"user{n % 5}", seconds=0.3): f"user{n % 5}" for n in range(75)}
    highest = 0

    def all_done() -> bool:
        nonlocal highest
        stats = system.http("GET", "/queue/stats")[1]
        highest = max(highest, stats["running_jobs"])
        assert stats["running_jobs"] <= 10
        assert stats["total_jobs"] == 75
        return bool(stats["completed_jobs"] == 75)

    wait_for(all_done, "all jobs are done", 60)
    ends = {trace.job_id: trace.at for trace in system.traces("end")}
    spans = {trace.job_id: (trace.at, ends[trace.job_id]) for trace in system.traces("start")}
    assert len(system.traces("start")) == len(spans) == 75
    assert most_at_once(list(spans.values())) <= 10
    for user in set(owners.values()):
        assert most_at_once([spans[job_id] for job_id, owner in owners.items() if owner == user]) <= 3
    assert highest >= 8, "the limit is also used"

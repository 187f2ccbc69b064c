"""The packed fields of a job's record, as `lua/include/record.lua` writes them. Reading only: Lua is the one writer."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from jobqueue.job import DEFAULT_USER, Priority
from jobqueue.states import FROM_RQ, State

CORE_SEPARATOR: Final = "\x1f"


class Core(NamedTuple):
    """What never changes. Times to live and time limit in seconds, `created` in microseconds."""

    user: str
    limiter: str
    queue: str
    job_type: str
    created: int
    result_ttl: int
    failure_ttl: int
    max_attempts: int
    max_lost_attempts: int
    timeout: int
    priority: Priority


EMPTY_CORE: Final = Core("", "", "", "", 0, 500, 31536000, 1, 3, 180, "normal")


class Run(NamedTuple):
    """What executions leave behind. `ran`: microseconds of earlier attempts."""

    execution_id: str | None
    attempt: int
    fence: int
    failures: int
    losses: int
    ran: int
    restarts: int
    stopping: str | None


class Mark(NamedTuple):
    """Our last word on a job."""

    status: str
    seq: int
    status_seq: int


# It never changes, and who asks for a job asks again.
@lru_cache(maxsize=4096)
def parse_core(text: str) -> Core:
    user, limiter, queue, job_type, created, ttl, failure_ttl, attempts, lost, timeout, priority, _ = text.split(
        CORE_SEPARATOR
    )
    return Core(
        user,
        f"user:{user}" if limiter == "+" else limiter,
        queue,
        job_type,
        int(created),
        int(ttl),
        int(failure_ttl),
        int(attempts),
        int(lost),
        int(timeout),
        priority or "normal",  # type: ignore[arg-type]
    )


def read_core(f: Mapping[str, str]) -> Core:
    """Of a stock job that has not joined our index, what RQ's own fields tell."""
    if "x_core" in f:
        return parse_core(f["x_core"])
    limiter = f.get("rate_limit_key", "")
    user = limiter.removeprefix("user:") or DEFAULT_USER
    return Core(user, limiter, f.get("origin", ""), "", 0, 500, 31536000, 1, 3, 180, "normal")


def read_run(f: Mapping[str, str]) -> Run:
    if "x_run" not in f:
        return Run(None, 0, 0, 0, 0, 0, 0, None)
    execution, *numbers, stopping = f["x_run"].split(" ")
    attempt, fence, failures, losses, ran, restarts = map(int, numbers)
    return Run(_some(execution), attempt, fence, failures, losses, ran, restarts, _some(stopping))


def read_mark(f: Mapping[str, str]) -> Mark:
    if "x_mark" not in f:
        return Mark("", 0, 0)
    status, seq, status_seq = f["x_mark"].split(" ")
    return Mark(status, int(seq), int(status_seq))


def state_of(f: Mapping[str, str]) -> State:
    """`f`: status, and x_retry of a job of ours that waits for its back-off."""
    state = FROM_RQ.get(f["status"], "pending")
    return "pending" if state == "scheduled" and "x_retry" in f else state


def _some(word: str) -> str | None:
    return None if word == "-" else word

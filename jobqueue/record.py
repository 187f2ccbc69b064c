"""The packed fields of a job's record, as `lua/include/record.lua` writes them. Reading only: Lua is the one writer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from jobqueue.job import DEFAULT_USER, Attempt, OnFailure, Priority
from jobqueue.rq_format import parse_time
from jobqueue.states import FROM_RQ, TERMINAL, State

CORE_SEPARATOR: Final = "\x1f"
MOST_ATTEMPTS: Final = 20


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
    flags: str = ""


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
    user, limiter, queue, job_type, created, ttl, failure_ttl, attempts, lost, timeout, priority, flags = text.split(
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
        flags,
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


def read_attempts(
    f: Mapping[str, str], state: State, run: Run, started: int | None, ended: int | None
) -> tuple[Attempt, ...]:
    """The earlier ones, and the one that the record itself tells of. Lines that nobody can read are left out."""
    # Most jobs have none, and every reader of a status comes by here.
    lines = f["x_history"].split("\n") if "x_history" in f else ()
    earlier = [attempt for line in lines if (attempt := _attempt(line))]
    return (*earlier, *_last_attempt(f, state, run, started, ended))[-MOST_ATTEMPTS:]


def _attempt(line: str) -> Attempt | None:
    try:
        restarts, number, worker, started, ended, outcome, error = json.loads(line)
        return Attempt(
            run=int(restarts),
            attempt=int(number),
            worker=worker,
            started_at=parse_time(started.encode()) or 0,
            ended_at=parse_time(ended.encode()),
            outcome=outcome,
            error=error or None,
        )
    except (ValueError, TypeError, AttributeError):
        return None


def _last_attempt(
    f: Mapping[str, str], state: State, run: Run, started: int | None, ended: int | None
) -> Iterator[Attempt]:
    if "worker_name" not in f or started is None or state in ("pending", "scheduled"):
        return
    yield Attempt(
        run=run.restarts,
        attempt=max(1, run.attempt),
        worker=f["worker_name"],
        started_at=started,
        ended_at=ended if state in TERMINAL else None,
        outcome=None if state == "running" else state,
        error=f.get("x_error") if state == "failed" else None,
    )


def read_dependencies(f: Mapping[str, str]) -> tuple[str, ...]:
    """RQ's field: a JSON list of ids."""
    if "dependency_ids" not in f:
        return ()
    try:
        return tuple(str(job_id) for job_id in json.loads(f["dependency_ids"]))
    except (ValueError, TypeError):
        return ()


def read_policy(f: Mapping[str, str]) -> OnFailure | None:
    if "dependency_ids" not in f:
        return None
    return "run" if f.get("allow_dependency_failures") == "1" else "cancel"


def read_dependents(f: Mapping[str, str]) -> tuple[int, tuple[str, ...]]:
    """How many there were ever, and the first of them."""
    count, *ids = f.get("x_dependents", "0").split(" ")
    return int(count), tuple(ids)


def _some(word: str) -> str | None:
    return None if word == "-" else word

"""The packed fields of a job's record, as `lua/include/record.lua` writes them. Reading only: Lua is the one writer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from jobqueue.job import DEFAULT_USER, Attempt, OnFailure, Priority
from jobqueue.keys import is_job_id
from jobqueue.rq_format import parse_time
from jobqueue.states import FROM_RQ, TERMINAL, State

CORE_SEPARATOR: Final = "\x1f"
MOST_ATTEMPTS: Final = 20
# Longer numbers fit in no answer.
LONGEST_NUMBER: Final = 18
_RUN: Final = re.compile(rf"(\S+){r' ([0-9]{1,18})' * 6} (\S+)")
_MARK: Final = re.compile(r"(\S+) ([0-9]{1,18}) ([0-9]{1,18})")


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


def whole(text: str) -> int:
    """Raises ValueError for what is no whole number, or one that nobody can need."""
    if len(text) > LONGEST_NUMBER:
        raise ValueError("the number is too long")
    return int(text)


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
        whole(created),
        whole(ttl),
        whole(failure_ttl),
        whole(attempts),
        whole(lost),
        whole(timeout),
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
    found = _RUN.fullmatch(f["x_run"])
    if found is None:
        raise ValueError("x_run is not what an execution leaves")
    execution, *numbers, stopping = found.groups()
    attempt, fence, failures, losses, ran, restarts = map(int, numbers)
    return Run(_some(execution), attempt, fence, failures, losses, ran, restarts, _some(stopping))


def read_mark(f: Mapping[str, str]) -> Mark:
    if "x_mark" not in f:
        return Mark("", 0, 0)
    found = _MARK.fullmatch(f["x_mark"])
    if found is None:
        raise ValueError("x_mark is not our last word")
    status, seq, status_seq = found.groups()
    return Mark(status, int(seq), int(status_seq))


def state_of(f: Mapping[str, str]) -> State:
    """`f`: status, and x_retry of a job of ours that waits for its back-off. Raises KeyError for no such word."""
    state = FROM_RQ[f["status"]]
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
            run=whole(str(restarts)),
            attempt=whole(str(number)),
            worker=_text(worker),
            started_at=parse_time(started.encode()) or 0,
            ended_at=parse_time(ended.encode()),
            outcome=_text(outcome),
            error=_text(error) or None,
        )
    except (ValueError, TypeError, AttributeError, RecursionError):
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
        ids = json.loads(f["dependency_ids"])
        return tuple(job_id for job_id in ids if isinstance(job_id, str) and is_job_id(job_id))
    except (ValueError, TypeError, RecursionError):
        return ()


def read_policy(f: Mapping[str, str]) -> OnFailure | None:
    if "dependency_ids" not in f:
        return None
    return "run" if f.get("allow_dependency_failures") == "1" else "cancel"


def read_dependents(f: Mapping[str, str]) -> tuple[int, tuple[str, ...]]:
    """How many there were ever, and the first of them."""
    count, *ids = f.get("x_dependents", "0").split(" ")
    return whole(count), tuple(ids)


def _text(value: object) -> str:
    """JSON may name halves of characters, which no answer can hold. Raises TypeError."""
    if not isinstance(value, str):
        raise TypeError("no text")
    return value.encode("utf-8", "replace").decode()


def _some(word: str) -> str | None:
    return None if word == "-" else word

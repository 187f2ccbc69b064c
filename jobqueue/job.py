"""The values that cross the library's border. Times are unix microseconds of the Redis clock unless said otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from jobqueue.states import State

Priority = Literal["low", "normal", "high", "urgent"]
PRIORITIES: Final[tuple[Priority, ...]] = ("low", "normal", "high", "urgent")

OnFailure = Literal["cancel", "run"]

DEFAULT_USER: Final = "default_user"

# What records of job types call: `args` are the type's name and its parameters. A stock worker can import it.
JOB_TYPE_FUNCTION: Final = "worker.rq_entry.run_job"


# Not frozen: made tens of thousands of times a second, and a frozen dataclass costs three times as much to make.
@dataclass(slots=True, kw_only=True)
class NewJob:
    """A job to enqueue. `function` is a dotted name (`pkg.mod.name`) that a stock RQ worker can import too.

    `due`: unix microseconds; None or past = now. `delay_seconds`: due so long after it was accepted, instead of `due`.
    `timeout_seconds`: of one attempt. `max_attempts` counts errors,
    `max_lost_attempts` attempts that ended because their worker was lost. Between two attempts after an error it waits
    `backoff_seconds`, doubled each time up to `backoff_max_seconds`, with a quarter of jitter.
    `depends_on`: jobs of the same user that must complete first; when one fails or is cancelled this job is cancelled
    (`cancel`) or goes on all the same (`run`). `unique_key`: at most one job of the user that has not ended has it.
    `expires_in`: seconds after its submission or due time; not started by then, it is cancelled.
    `schedule_id`: of the one that made it.
    """

    job_id: str
    function: str
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    job_type: str = ""
    user_id: str = DEFAULT_USER
    queue: str = "default"
    priority: Priority = "normal"
    due: int | None = None
    delay_seconds: float | None = None
    timeout_seconds: int = 3600
    max_attempts: int = 1
    max_lost_attempts: int = 3
    backoff_seconds: float = 1.0
    backoff_max_seconds: float = 300.0
    result_ttl: int = 86400
    failure_ttl: int = 7200
    depends_on: Sequence[str] = ()
    on_failure: OnFailure = "cancel"
    unique_key: str | None = None
    expires_in: int | None = None
    schedule_id: str | None = None


@dataclass(frozen=True, slots=True)
class Firing:
    """A schedule makes a job: allowed only while its due time is `tick`; the next one is `following` (None: no more).

    Unix microseconds.
    """

    schedule_id: str
    tick: int
    following: int | None


@dataclass(frozen=True, slots=True)
class Enqueued:
    """`created` is False when the same content was enqueued under this id before, `state` is that of then; or when a
    live job has the same unique key: then it is that job, in its present state.
    """

    job_id: str
    state: State
    created: bool


WaitingReason = Literal[
    "user_limit", "global_limit", "type_limit", "paused", "scheduled", "dependency", "retry_backoff",
    "stopping_previous", "no_worker", "behind_others",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Why a job has not started. `detail`: what is paused (`queue user type`), the ids that it depends on, the queue
    without a worker. `ahead_own`: the user's own jobs that start before it, exactly; `position`: its place among all
    jobs, at most (README); None for jobs in no line. `eta_seconds`: from the mean run time of its type.
    """

    reason: WaitingReason
    detail: str = ""
    ahead_own: int | None = None
    position: int | None = None
    eta_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One execution of a job. `run`: restarts before it. `outcome`: completed, failed, cancelled, lost (its worker
    was), interrupted (it gave the job back unfinished), None while it runs. Times in unix microseconds.
    """

    run: int
    attempt: int
    worker: str
    started_at: int
    ended_at: int | None
    outcome: str | None
    error: str | None


# Not frozen, for the same reason.
@dataclass(slots=True, kw_only=True)
class Job:
    """What a reader sees of a job. `seq` grows with each visible change, `status_seq` is the seq of the last change of
    `state`. `attempt` is 1-based in the present run (0 before the first claim). `execution_seconds` excludes waiting.
    `announced`: False when a stock tool has changed the state since then, without an event and without a new `seq`.
    `attempts`: at most the last 20. `reason`: why a job was cancelled by the system itself. `dependents`: the first
    hundred of `dependents_total`. `retries_left`: RQ's counter, if it has one. `Inspector.explain` fills `waiting`.
    """

    job_id: str
    job_type: str
    user_id: str
    queue: str
    state: State
    seq: int
    status_seq: int
    priority: Priority
    progress: float
    step: str
    items_done: int
    items_total: int
    created_at: int
    due_at: int | None
    started_at: int | None
    ended_at: int | None
    execution_seconds: float
    error: str | None
    attempt: int
    restarts: int
    worker: str | None
    max_attempts: int = 1
    retries_left: int | None = None
    attempts: tuple[Attempt, ...] = ()
    reason: str | None = None
    depends_on: tuple[str, ...] = ()
    on_failure: OnFailure | None = None
    dependents: tuple[str, ...] = ()
    dependents_total: int = 0
    expires_in: int | None = None
    schedule_id: str | None = None
    waiting: Waiting | None = None
    announced: bool = True
    result: Any = None


@dataclass(frozen=True, slots=True)
class JobPage:
    """A part of a list of jobs, newest first. `next_cursor`: where the next part begins; None = this was the last."""

    jobs: tuple[Job, ...]
    next_cursor: int | None


@dataclass(slots=True, kw_only=True, eq=False)
class Claimed:
    """A job that this worker holds now. `token` is `ID:X`, the key of its lease.

    Of stock producers: `instance` whose method is to be called, `has_callbacks` of RQ.
    """

    job_id: str
    execution_id: str
    function: str
    args: list[Any]
    kwargs: dict[str, Any]
    job_type: str
    user_id: str
    queue: str
    created: int
    attempt: int
    fence: int
    failures: int
    max_attempts: int
    timeout_seconds: int | None
    serializer: str
    instance: Any = None
    has_callbacks: bool = False
    decode_error: str | None = None

    @property
    def token(self) -> str:
        return f"{self.job_id}:{self.execution_id}"


@dataclass(frozen=True, slots=True)
class Completed:
    """`size`: bytes of the encoded result, for those who send many at once; it is no part of the outcome."""

    result: Any = None
    size: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Failed:
    """`error`: one line for people; `detail`: the traceback for stock tools. `permanent`: no further attempt."""

    error: str
    detail: str = ""
    permanent: bool = False


@dataclass(frozen=True, slots=True)
class Released:
    """Give the job back unfinished, at the head of its user's line; the attempt does not count."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """The execution of a cancelled job has ended."""


@dataclass(frozen=True, slots=True)
class Halted:
    """Stopped by a command of RQ's tools: it has ended as cancelled and is not tried again."""

    error: str = "Job stopped by user, work-horse terminated."


@dataclass(frozen=True, slots=True)
class Retried:
    """It returned RQ's `Retry`, as `value`: run it again, at most `most` times, after the next of `intervals`.

    Seconds.
    """

    value: Any
    most: int
    intervals: tuple[int, ...]
    at_front: bool


Outcome = Completed | Failed | Released | Stopped | Halted | Retried

# What became of an outcome: `ok` recorded now or before by this same execution; `cancelled` the job was cancelled
# meanwhile and the slot is free now; `stale` the job is no longer this execution's, nothing was changed.
Verdict = Literal["ok", "cancelled", "stale"]


@dataclass(frozen=True, slots=True)
class Progress:
    token: str
    fraction: float | None = None
    step: str | None = None
    done: int | None = None
    total: int | None = None


class JobChange(NamedTuple):
    """One job's change in an event; fields as in `Job`. `status_seq` tells a change of state from mere progress."""

    job_id: str
    seq: int
    status_seq: int
    state: State
    progress: float
    step: str
    user_id: str
    job_type: str

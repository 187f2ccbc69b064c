"""How a run is made to end before its time: it is asked, and after the grace it is forced."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol

from jobqueue.config import Settings
from jobqueue.job import Claimed, Failed, Halted, Outcome, Released, Stopped
from jobqueue.logs import job_fields
from worker.job_context import Context
from worker.process_job import ProcessJob
from worker.wording import fault

log = logging.getLogger(__name__)

PLAIN_GRACE_SECONDS: Final = 5.0


class Execution(Protocol):
    """What runs now. `killable`: force ends it for certain, so that it need not be asked first when time is short.
    `hears`: asking it may do something.
    """

    @property
    def killable(self) -> bool: ...
    @property
    def hears(self) -> bool: ...
    @property
    def ended(self) -> bool: ...
    def ask(self) -> None: ...
    def force(self) -> None: ...


class Stoppable:
    """The part of a job's run that others steer. All methods but `trust` are called in the event loop.

    Once somebody has decided how the run ends, what the job itself says of its end does not count any more: half a
    result, returned because it was told to hurry, is no result.
    """

    __slots__ = (
        "_asked", "_context", "_decided", "_execution", "_job", "_settings", "_stuck", "_timer", "_trusted_until",
        "_verdict",
    )  # fmt: skip

    def __init__(self, job: Claimed, settings: Settings) -> None:
        self._job = job
        self._settings = settings
        self._execution: Execution | None = None
        self._context: Context | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._asked = False
        self._stuck = False
        self._decided = False
        self._trusted_until = float("inf")
        self._verdict: Outcome | None = None

    def cancel(self) -> None:
        self._stop(Stopped())

    def halt(self) -> None:
        """By a command of RQ's tools: ended for good, and as there at once where that is possible."""
        self._stop(Halted(), at_once=True)

    def kill(self) -> None:
        """By RQ's command for a whole worker: a failed attempt."""
        self._stop(Failed(*fault("WorkHorseKilled", "killed by the command kill-horse")), at_once=True)

    def release(self) -> None:
        self._stop(Released(), at_once=True)

    def abandon(self) -> None:
        self._decided = False
        self._stop(None, at_once=True)

    def trust(self, until: float) -> None:
        """From any thread. Until then, on the monotonic clock, the lease holds; past that a child stands still."""
        self._trusted_until = until
        execution = self._execution
        if isinstance(execution, ProcessJob):
            execution.trust(until)

    def distrust(self) -> None:
        """The lease is in doubt. What runs in the loop cannot be paused like a child: it is given back."""
        if not isinstance(self._execution, ProcessJob):
            self._stop(Released())

    @property
    def hears(self) -> bool:
        """False: it runs in a thread, which nothing reaches."""
        return self._execution is None or self._execution.hears

    @property
    def stuck(self) -> bool:
        """It ignored its cancellation and still runs, whatever its verdict; only the end of the process ends it."""
        return self._stuck

    def _begin(self, execution: Execution) -> None:
        self._execution = execution
        self.trust(self._trusted_until)
        if self._job.timeout_seconds is not None:
            self._set_timer(self._job.timeout_seconds, self._time_is_up)

    def _end(self) -> None:
        """A run that has ended cannot be stopped any more; one that is stuck is kept as it is."""
        if self._timer is not None:
            self._timer.cancel()
        if not self._stuck:
            self._execution = None

    def _set_timer(self, seconds: float, action: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, action)

    def _time_is_up(self) -> None:
        limit = self._job.timeout_seconds
        self._stop(Failed(*fault("JobTimeout", f"did not finish within {limit} s")))

    def _stop(self, verdict: Outcome | None, *, at_once: bool = False) -> None:
        if not self._decided:
            self._decided, self._verdict = True, verdict
        if self._execution is None or self._stuck:
            return
        if at_once and self._execution.killable:
            self._execution.force()
        elif not self._asked:
            self._ask(self._execution)

    def _ask(self, execution: Execution) -> None:
        self._asked = True
        if self._context is not None:
            self._context.cancelled = True
        kind = self._settings.job_types.get(self._job.job_type)
        self._set_timer(kind.cancel_grace_seconds if kind else PLAIN_GRACE_SECONDS, self._grace_is_over)
        execution.ask()

    def _grace_is_over(self) -> None:
        execution = self._execution
        if execution is None or execution.ended:
            return
        if not execution.killable:
            self._stuck = True
            log.critical("a job ignores its cancellation and cannot be stopped", extra=job_fields(self._job))
        execution.force()

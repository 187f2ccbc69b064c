"""What RQ gives to the functions that it calls, and does with their end: current job, callbacks, a returned `Retry`."""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Literal

from jobqueue import stock
from jobqueue.job import Claimed, Completed, Failed, Halted, Outcome, Retried
from worker.resolve import plain_function
from worker.wording import fault_of

When = Literal["success", "failure", "stopped"]
# RQ's words for the state of the job that the callback sees.
STATUS: Final[dict[When, str]] = {"success": "finished", "failure": "failed", "stopped": "stopped"}


def needs_stock(job: Claimed) -> bool:
    """Whether the call must know RQ's job object: its callbacks take it, or code that was written for RQ is about."""
    return job.has_callbacks or "rq.job" in sys.modules


def as_retry(value: Any) -> Retried | None:
    """What a function says by returning RQ's `Retry`; None for all other values."""
    module = sys.modules.get("rq.job")
    if module is None or not isinstance(value, module.Retry):
        return None
    return Retried(value, value.max, tuple(map(int, value.intervals)), bool(value.enqueue_at_front))


class StockCall:
    """`job`: RQ's own object. `result`: what the function returned. `raised`: what it raised.

    `stuck`: a callback has not ended in its time and still runs.
    """

    def __init__(self, job: Any, allowed: tuple[str, ...]) -> None:
        """Raises PermanentError for a callback that may not run, and whatever importing it raises."""
        self.job = job
        self.result: Any = None
        self.raised: BaseException | None = None
        self.stuck = False
        names = {when: getattr(job, f"_{when}_callback_name") for when in STATUS}
        self._callbacks = {when: _callback(name, when, allowed) for when, name in names.items() if name}

    def enter(self) -> None:
        """From here on `rq.get_current_job()` answers in this task and its threads."""
        stock.enter(self.job)

    async def concluded(self, outcome: Outcome | None) -> Outcome | None:
        """The outcome after the callback that it calls for. As in RQ a callback that raises makes the job fail."""
        if isinstance(outcome, Completed):
            error = await self._call("success", self.result)
            if error is None:
                return outcome
            outcome, self.raised = Failed(*fault_of(error)), error
        if isinstance(outcome, Failed):
            cause = self.raised or TimeoutError(outcome.error)
            error = await self._call("failure", type(cause), cause, cause.__traceback__)
            return outcome if error is None else Failed(*fault_of(error))
        if isinstance(outcome, Halted):
            await self._call("stopped")
        return outcome

    async def _call(self, when: When, *args: Any) -> BaseException | None:
        """What the callback raised. Runs in a thread, under the time limit that it was enqueued with."""
        callback = self._callbacks.get(when)
        if callback is None:
            return None
        stock.set_status(self.job, STATUS[when])
        body = partial(contextvars.copy_context().run, callback, self.job, self.job.connection, *args)
        call = asyncio.get_running_loop().run_in_executor(None, body)
        seconds = getattr(self.job, f"{when}_callback_timeout")
        await asyncio.wait({call}, timeout=seconds)
        if call.done():
            return call.exception()
        self.stuck = True
        return TimeoutError(f"the {when} callback did not finish within {seconds} s")


def _callback(name: str, when: When, allowed: tuple[str, ...]) -> Callable[..., Any]:
    callback = plain_function(name, allowed)
    if callback.in_loop:
        raise TypeError(f"Coroutine {when} callbacks are not supported")
    return callback.call

"""One job in a child process: what it is told, what it answers, and what is said of one that cannot answer any more."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from jobqueue.config import JobTypeSettings
from jobqueue.job import Completed, Failed, Outcome
from worker.child_log import ChildLog
from worker.child_process import ChildProcess, started_child
from worker.child_protocol import (
    ASSIGNMENT,
    CANCEL,
    COMPLETED,
    EXIT,
    FAILED,
    HELLO,
    OUTCOME,
    PROGRESS,
    Assignment,
    decode,
    encode,
)
from worker.job_context import JobFacts
from worker.lease_clock import LeaseClock
from worker.memory import MemoryWatch
from worker.note import Note
from worker.plain_call import understood
from worker.wording import fault

# A child that has answered has this long to end; threads that a job left running would keep it for ever.
EXIT_SECONDS: Final = 2.0
# A guard that has nobody left to guard ends at once, unless somebody has stopped it.
GUARD_SECONDS: Final = 2.0
# What was said before the end is in the pipes when the end is known, unless a stranger holds them.
DRAIN_SECONDS: Final = 1.0
_SIGNAL_NAMES: Final = {number.value: number.name for number in signal.Signals}


class ProcessJob:
    killable: Final = True
    hears: Final = True

    def __init__(
        self,
        assignment: bytes,
        log: ChildLog,
        put: Callable[[Note], None] = lambda note: None,
        memory_limit_mb: int | None = None,
    ) -> None:
        self._memory_limit_mb = memory_limit_mb
        self._log = log
        self._assignment = assignment
        self._put = put
        self._child: ChildProcess | None = None
        self._loop = asyncio.get_running_loop()
        self._trusted_until = float("inf")
        self._lease: LeaseClock | None = None
        self._started = False
        self._given_up = False
        self._answer: Outcome | None = None
        self._memory: MemoryWatch | None = None
        self._too_large: Failed | None = None
        self._exit_status: int | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self) -> Outcome:
        try:
            async with self._open_child() as child:
                self._child = child
                await self._accompany(child)
                return self._answer or self._too_large or self._crash(child)
        except OSError as error:
            if self._child is not None:
                raise
            return Failed(*fault("ChildNotStarted", str(error)))
        finally:
            self._child = None

    @contextlib.asynccontextmanager
    async def _open_child(self) -> AsyncIterator[ChildProcess]:
        with contextlib.closing(LeaseClock(self._trusted_until)) as lease:
            self._lease = lease
            # Once more: somebody may have said otherwise before he could be heard.
            lease.set(self._trusted_until)
            async with started_child(lease.descriptor) as child:
                yield child

    @property
    def ended(self) -> bool:
        return self._exit_status is not None

    def ask(self) -> None:
        if self._child is not None and self._started:
            self._child.send(encode(CANCEL))
        else:
            self.force()

    def force(self) -> None:
        self._given_up = True
        if self._child is not None:
            self._child.kill()
            self._set_timer(GUARD_SECONDS, self._child.kill_guard)

    def trust(self, until: float) -> None:
        """From any thread. Until then, on the monotonic clock, the job may run; past that its guard stops it."""
        self._trusted_until = until
        if self._lease is not None:
            self._lease.set(until)

    async def _accompany(self, child: ChildProcess) -> None:
        """Until the child has ended and everything that it said is read."""
        try:
            async with asyncio.TaskGroup() as group:
                messages = group.create_task(self._listen(child), name=f"messages-of-{child.pid}")
                errors = group.create_task(child.relay_errors(self._log.feed), name=f"errors-of-{child.pid}")
                await child.ended()
                await asyncio.wait({messages, errors}, timeout=DRAIN_SECONDS)
                messages.cancel()
                errors.cancel()
        finally:
            self._log.end()
            self._stop_watching()

    async def _listen(self, child: ChildProcess) -> None:
        async for line in child.messages():
            kind, *content = decode(line)
            if kind == HELLO:
                await self._begin(child)
            elif kind == PROGRESS:
                self._put(Note(*content))
            elif kind == COMPLETED:
                self._learn(Completed(content[0], len(line)))
            elif kind == FAILED:
                self._learn(Failed(*content))
            elif kind == OUTCOME:
                self._learn(understood(*content))
            elif kind == EXIT:
                self._exit_status = content[0]
                return

    async def _begin(self, child: ChildProcess) -> None:
        if self._given_up:
            self.force()
            return
        self._started = True
        child.send(self._assignment)
        if self._memory_limit_mb is not None:
            self._memory = MemoryWatch(child.pid, self._memory_limit_mb, self._on_memory)
            self._memory.start()

    def _learn(self, answer: Outcome | None) -> None:
        self._answer = answer
        self._set_timer(EXIT_SECONDS, self.force)

    def _on_memory(self, used_mb: int) -> None:
        """In the watch's thread."""
        self._loop.call_soon_threadsafe(self._exceeded, used_mb)

    def _exceeded(self, used_mb: int) -> None:
        text = f"used {used_mb} MB of {self._memory_limit_mb} MB allowed"
        self._too_large = Failed(*fault("MemoryLimitExceeded", text))
        self.force()

    def _set_timer(self, seconds: float, action: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, action)

    def _stop_watching(self) -> None:
        if self._memory is not None:
            self._memory.stop()
        if self._timer is not None:
            self._timer.cancel()

    def _crash(self, child: ChildProcess) -> Failed:
        return Failed(*fault("ChildCrashed", _ending(self._exit_status), detail=child.last_errors))


def _ending(status: int | None) -> str:
    """`status` is a wait status; None when even the guard was killed and nobody saw the job's end."""
    if status is None:
        return "its processes were killed from outside"
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return f"killed by {_SIGNAL_NAMES.get(number, f'signal {number}')}"
    return f"exited with code {os.waitstatus_to_exitcode(status)} before it answered"


def assignment_for(kind: JobTypeSettings, facts: JobFacts, parameters: Any) -> bytes:
    """Raises TypeError when the parameters are not JSON-able, as those of a pickled call may be."""
    assignment = Assignment(
        facts=facts,
        function=kind.function,
        parameters_model=kind.parameters,
        parameters=parameters,
        path=sys.path,
        log_level=logging.getLogger("worker.jobs").getEffectiveLevel(),
    )
    return encode(ASSIGNMENT, assignment)

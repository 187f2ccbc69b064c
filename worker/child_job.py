"""The job's own process: takes one assignment from the channel, does it, answers, ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

from worker.child_log import configure_child
from worker.child_protocol import (
    CALL,
    CANCEL,
    FAILED,
    HELLO,
    PROGRESS,
    Assignment,
    decode,
    encode,
    encode_completed,
    read_lines,
)
from worker.job_context import Context, JobFacts
from worker.note import Note
from worker.resolve import JobFunction, job_function, validated
from worker.wording import Fault, encoded_result, fault_of

SEND_SECONDS: Final = 0.1
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def run_job(channel: socket.socket) -> int:
    """The exit code."""
    _keep_alive_on_signals()
    channel.sendall(encode(HELLO))
    lines = read_lines(channel)
    line = next(lines, None)
    if line is None:
        return 1
    kind, told = decode(line)
    job = _plain_job(told) if kind == CALL else _Job(told, _ProgressSender(channel))
    threading.Thread(target=job.listen, args=(lines,), name="from-worker", daemon=True).start()
    channel.sendall(job.run())
    return 0


class _ChildJob(Protocol):
    def listen(self, lines: Iterator[bytes]) -> None: ...
    def run(self) -> bytes: ...


def _plain_job(told: Any) -> _ChildJob:
    # Not above: it imports what no job type needs.
    from worker.child_call import PlainJob

    return PlainJob(told)


def _keep_alive_on_signals() -> None:
    """Do nothing on them, yet let programs that the job starts and processes that it forks end on them as usual.

    An ignored signal would stay ignored across exec, and a handler across fork: then no job could end its helpers.
    """
    for number in _SIGNALS:
        signal.signal(number, lambda *_: None)
    # Held back meanwhile, so that a fork that is told to end in its first moment does so.
    os.register_at_fork(before=_hold_back, after_in_parent=_let_through, after_in_child=_end_on_signals)


def _hold_back() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)


def _let_through() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def _end_on_signals() -> None:
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    _let_through()


class _ProgressSender:
    """Sends the newest note from a thread: a job never waits for a worker that is slow to read."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._newest: Note | None = None
        self._noted = threading.Event()
        self._finished = threading.Event()
        self._thread = threading.Thread(target=self._run, name="to-worker", daemon=True)
        self._thread.start()

    def put(self, note: Note) -> None:
        self._newest = note
        self._noted.set()

    def finish(self) -> None:
        """Returns when the last note has been sent."""
        self._finished.set()
        self._noted.set()
        self._thread.join()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while self._noted.wait():
                self._noted.clear()
                last = self._finished.is_set()
                note, self._newest = self._newest, None
                if note is not None:
                    self._channel.sendall(encode(PROGRESS, *note))
                if last:
                    return
                self._finished.wait(SEND_SECONDS)


class _Job:
    def __init__(self, assignment: Assignment, progress: _ProgressSender) -> None:
        self._assignment = assignment
        facts = JobFacts(**assignment["facts"])
        configure_child(assignment["log_level"])
        self._progress = progress
        self._context = Context(facts, progress.put)
        self._cancel_task: Callable[[], None] = lambda: None

    def listen(self, lines: Iterator[bytes]) -> None:
        """A thread of its own: until the worker has gone, and with it the use of this process."""
        for line in lines:
            if decode(line)[0] == CANCEL:
                self._context.cancelled = True
                self._cancel_task()
        os._exit(1)

    def run(self) -> bytes:
        """The answer."""
        try:
            answer = self._result()
        # Whatever a job raises, SystemExit included, is its verdict; the worker is told in words.
        except BaseException as error:  # noqa: BLE001
            answer = fault_of(error)
        self._progress.finish()
        return encode(FAILED, *answer) if isinstance(answer, Fault) else encode_completed(answer)

    def _result(self) -> bytes | Fault:
        sys.path[:] = self._assignment["path"]
        function = job_function(self._assignment["function"], self._assignment["parameters_model"])
        parameters = validated(function.parameters, self._assignment["parameters"])
        if function.is_async:
            return encoded_result(asyncio.run(self._in_loop(function, parameters)))
        return encoded_result(function.call(self._context, parameters))

    async def _in_loop(self, function: JobFunction, parameters: Any) -> Any:
        loop = asyncio.get_running_loop()
        task = loop.create_task(function.call(self._context, parameters), name="job")
        self._cancel_task = lambda: _from_other_thread(loop, task.cancel)
        if self._context.cancelled:
            task.cancel()
        return await task


def _from_other_thread(loop: asyncio.AbstractEventLoop, action: Callable[[], object]) -> None:
    # The loop may be closing down just now; then there is nothing left to cancel.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(action)

"""Processes that share the work of a job: each does one order after the other, and the answers come in order.

Orders and answers are small and name files; what is in these goes through no pipe.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from worker.context import RetryableError
from worker.jobs.shared.errors import StorageError

CHILD_MODULE: Final = "worker.jobs.shared.crew_child"
# So few orders are done before a process is ready for them.
FEW: Final = 5
# For each process: it need not wait while this one is busy.
_AHEAD: Final = 8
_POLL_MILLISECONDS: Final = 100
_PATIENCE_SECONDS: Final = 1.0
_BLOCK: Final = 65536
_LOST: Final = "process_lost"

Order = dict[str, str]
Answer = dict[str, Any]
Work = Callable[[Order], Any]


class Crew:
    """`work`: the function for one order, as "module:name"; what it returns must be JSON-able. `size`: how many
    processes; with one of them, or few orders, the work is done in this one.

    `check` is called at least every tenth of a second while others work, and may raise. Leaving the `with` block kills
    them, whatever the reason for leaving is.
    """

    def __init__(self, work: str, here: Work, size: int, check: Callable[[], None]) -> None:
        """`here`: the same function."""
        self._work = work
        self._here = here
        self._size = size
        self._check = check
        self._members: list[_Member] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for member in self._members:
            member.kill()
        self._members = []

    def answers(self, orders: Iterable[Order]) -> Iterator[Any]:
        """In the order of the orders. Raises StorageError, and RetryableError `process_lost`."""
        rest = iter(orders)
        first = list(islice(rest, FEW + 1))
        if self._size == 1 or len(first) <= FEW:
            return map(self._here, chain(first, rest))
        return self._shared(chain(first, rest))

    def _shared(self, orders: Iterator[Order]) -> Iterator[Any]:
        """The members take turns, so that their answers do too."""
        self._start()
        turns: deque[_Member] = deque()
        for number, order in enumerate(orders):
            member = self._members[number % self._size]
            if len(turns) == _AHEAD * self._size:
                yield turns.popleft().answer(self._check)
            member.give(order)
            turns.append(member)
        while turns:
            yield turns.popleft().answer(self._check)

    def _start(self) -> None:
        while len(self._members) < self._size:
            try:
                self._members.append(_Member(self._work))
            except OSError as error:
                message = f"The machine has no room for another process that shares the job's work: {error.strerror}."
                raise RetryableError(_LOST, message) from error


class _Member:
    """One process."""

    def __init__(self, work: str) -> None:
        # The child finds its modules where this process does, whatever the working directory is.
        paths = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", CHILD_MODULE, str(os.getpid()), work],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env={**os.environ, "PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )
        self._rest = b""

    def give(self, order: Order) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
        except BrokenPipeError:
            raise self._lost() from None

    def answer(self, check: Callable[[], None]) -> Any:
        """To the first order that has none."""
        while b"\n" not in self._rest:
            check()
            block = self._read()
            if block == b"":
                raise self._lost()
            self._rest += block or b""
        line, _, self._rest = self._rest.partition(b"\n")
        answer: Answer = json.loads(line)
        if "storage" in answer:
            raise StorageError(answer["storage"])
        return answer["done"]

    def kill(self) -> None:
        self._process.kill()
        # Closes the pipes, and waits.
        with self._process:
            pass

    def _read(self) -> bytes | None:
        """What has come, b"" at the end, None when nothing comes for a tenth of a second."""
        assert self._process.stdout is not None
        poll = select.poll()
        poll.register(self._process.stdout, select.POLLIN)
        return os.read(self._process.stdout.fileno(), _BLOCK) if poll.poll(_POLL_MILLISECONDS) else None

    def _lost(self) -> RetryableError:
        try:
            code = self._process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            code = 0
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        message = f"A process that shares the job's work has ended before its time ({how}); it may lack memory."
        return RetryableError(_LOST, message)

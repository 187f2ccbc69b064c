"""Processes that share the work of a job: each does one order after the other, and the answers come in order.

Orders and answers are small and name files; what is in these goes through no pipe.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from types import TracebackType
from typing import Any, Final, Self

from worker.context import PermanentError, RetryableError
from worker.jobs.shared import parent_side
from worker.jobs.shared.errors import StorageError
from worker.jobs.shared.memory_shares import MB, share_out

CHILD_MODULE: Final = "worker.jobs.shared.crew_child"
# So few orders are done before a process is ready for them.
FEW: Final = 5
# For each process: it need not wait while this one is busy.
_AHEAD: Final = 8
_LOOK_SECONDS: Final = 0.1
# Of addresses, for one process.
_MOST: Final = 1500 * MB

Order = dict[str, str]
Answer = dict[str, Any]
Work = Callable[[Order], Any]


class Crew:
    """`work`: the function for one order, as "module:name"; what it returns must be JSON-able. `size`: how many
    processes at most, as many as have enough room within `memory_limit_mb`; with one of them, or few orders, the work
    is done in this one.

    `check` is called at least every tenth of a second while others work, and may raise. Leaving the `with` block kills
    them, whatever the reason for leaving is.
    """

    def __init__(self, work: str, here: Work, size: int, memory_limit_mb: int, check: Callable[[], None]) -> None:
        """`here`: the same function."""
        shares = share_out(size, memory_limit_mb)
        self._work = work
        self._here = here
        self._size = shares.processes
        self._bytes = min(_MOST, shares.each)
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
        """In the order of the orders. Raises StorageError, RetryableError `process_lost` and PermanentError
        `out_of_memory`."""
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
            self._members.append(_Member(self._work, self._bytes))


class _Member:
    """One process."""

    def __init__(self, work: str, memory_bytes: int) -> None:
        self._process = parent_side.start(CHILD_MODULE, work, str(memory_bytes))
        self._rest = b""

    def give(self, order: Order) -> None:
        try:
            parent_side.send(self._process, order)
        except BrokenPipeError:
            raise self._lost() from None

    def answer(self, check: Callable[[], None]) -> Any:
        """To the first order that has none."""
        while b"\n" not in self._rest:
            check()
            block = parent_side.receive(self._process, _LOOK_SECONDS)
            if block == b"":
                raise self._lost()
            self._rest += block or b""
        line, _, self._rest = self._rest.partition(b"\n")
        answer: Answer = json.loads(line)
        if "storage" in answer:
            raise StorageError(answer["storage"])
        if "memory" in answer:
            message = f"A part of the job's work needs more memory than a process may use ({answer['memory']:,} bytes)."
            raise PermanentError("out_of_memory", message)
        return answer["done"]

    def kill(self) -> None:
        parent_side.kill(self._process)

    def _lost(self) -> RetryableError:
        how = parent_side.ending(self._process)
        why = ", by an error that the worker's log tells" if how == parent_side.BY_ERROR else "; it may lack memory"
        message = f"A process that shares the job's work has ended before its time ({how}){why}."
        return RetryableError(parent_side.PROCESS_LOST, message)

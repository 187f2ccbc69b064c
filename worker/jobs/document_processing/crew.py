"""Several document processes side by side, for the documents of one stage of the job."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Final, Self

from worker.jobs.document_processing.document_process import DocumentProcess, Message, Order, wait_for
from worker.jobs.document_processing.errors import DocumentError
from worker.jobs.document_processing.record import failure

_MB: Final = 1024 * 1024
# Of addresses, for one process. Those that work side by side must stay within the job's memory together.
ALONE_BYTES: Final = 1500 * _MB
SIDE_BY_SIDE_BYTES: Final = 800 * _MB
# The libraries for learning reserve more addresses than they use.
_TOPICS_BYTES: Final = 2048 * _MB
_LOOK_SECONDS: Final = 0.1
_CRASHED: Final = ("parser_crashed", "chunker_crashed")

# A document's number, and its order, or the last answer where nothing is left to be ordered.
Piece = tuple[int, Order | Message]


class Crew:
    """Each process works on one document at a time, whichever comes next.

    A document that brings down a process which had to share the memory is tried once more, alone, with all of it.
    Leaving the `with` block kills them, whatever the reason for leaving is.
    """

    def __init__(self, size: int) -> None:
        self._processes = [DocumentProcess() for _ in range(size)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _kill(self._processes)

    def run(
        self, pieces: Iterator[Piece], check: Callable[[], None], *, one_by_one: bool = False
    ) -> Iterator[tuple[int, Message]]:
        """Yields (number of the document, answer) as answers come; the last one of each has the keys "record" and
        "seconds", also when the document has failed.

        `check` is called at least every tenth of a second and may raise. Raises StorageError.
        """
        first, *others = self._processes
        if one_by_one:
            _kill(others)
        yield from _Shift([first] if one_by_one else self._processes, pieces, check).answers()


class _Shift:
    """One run of the crew. A single process has all the memory."""

    def __init__(
        self, processes: Sequence[DocumentProcess], pieces: Iterator[Piece], check: Callable[[], None]
    ) -> None:
        self._processes = processes
        self._pieces = pieces
        self._check = check
        self._idle = deque(processes)
        # With the moment at which each began.
        self._busy: dict[DocumentProcess, tuple[int, Order, float]] = {}
        self._again: deque[tuple[int, Order]] = deque()

    def answers(self) -> Iterator[tuple[int, Message]]:
        while True:
            self._check()
            yield from self._hand_out()
            if not self._busy:
                return
            wait_for(self._busy, _LOOK_SECONDS)
            for process in list(self._busy):
                yield from self._listen(process)

    def _hand_out(self) -> Iterator[tuple[int, Message]]:
        """Give work to those that have none; new work waits for what is to be done again."""
        while True:
            while self._again and not self._busy:
                yield from self._do_again(*self._again.popleft())
            if self._again or not self._idle:
                return
            piece = next(self._pieces, None)
            if piece is None:
                return
            number, order = piece
            if isinstance(order, Order):
                yield from self._begin(number, order)
            else:
                yield number, order | {"seconds": 0.0}

    def _do_again(self, number: int, order: Order) -> Iterator[tuple[int, Message]]:
        first = self._processes[:1]
        _kill(self._processes)
        yield from _Shift(first, iter([(number, order)]), self._check).answers()
        # What it has grown to counts against the smaller limit.
        _kill(first)

    def _begin(self, number: int, order: Order) -> Iterator[tuple[int, Message]]:
        process = self._idle.popleft()
        self._busy[process] = number, order, time.monotonic()
        try:
            process.begin(order, self._memory(order))
        except DocumentError as error:
            yield from self._end(process, {"record": failure(error)})

    def _listen(self, process: DocumentProcess) -> Iterator[tuple[int, Message]]:
        number = self._busy[process][0]
        try:
            messages = process.receive()
        except DocumentError as error:
            messages = [{"record": failure(error)}]
        for message in messages:
            if "record" in message:
                yield from self._end(process, message)
            else:
                yield number, message

    def _end(self, process: DocumentProcess, message: Message) -> Iterator[tuple[int, Message]]:
        number, order, begun = self._busy.pop(process)
        self._idle.append(process)
        error = message["record"].get("error")
        if error is not None and error["code"] in _CRASHED and len(self._processes) > 1:
            self._again.append((number, order))
        else:
            yield number, message | {"seconds": time.monotonic() - begun}

    def _memory(self, order: Order) -> int:
        if order.topics:
            return _TOPICS_BYTES
        return ALONE_BYTES if len(self._processes) == 1 else SIDE_BY_SIDE_BYTES


def _kill(processes: Sequence[DocumentProcess]) -> None:
    for process in processes:
        process.kill()

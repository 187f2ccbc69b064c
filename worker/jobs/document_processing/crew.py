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
from worker.jobs.shared.memory_shares import MB, share_out

# The most, of addresses, for one process.
_ALONE: Final = 1500 * MB
_SIDE_BY_SIDE: Final = 800 * MB
# The libraries for learning reserve more addresses than they use.
_TOPICS: Final = 2048 * MB
_LOOK_SECONDS: Final = 0.1
_CRASHED: Final = ("parser_crashed", "chunker_crashed")

# A document's number, and its order, or the last answer where nothing is left to be ordered.
Piece = tuple[int, Order | Message]


class Crew:
    """Each process works on one document at a time, whichever comes next.

    At most `size` of them: as many as have enough room within `memory_limit_mb`, which holds for all together. A
    document that brings down a process which had to share the memory is tried once more, alone, with all of it.
    Leaving the `with` block kills them, whatever the reason for leaving is.
    """

    def __init__(self, size: int, memory_limit_mb: int) -> None:
        shares = share_out(size, memory_limit_mb)
        self.alone_bytes = min(_ALONE, shares.alone)
        self.side_by_side_bytes = min(_SIDE_BY_SIDE, shares.each)
        self._processes = [DocumentProcess() for _ in range(shares.processes)]
        self._shift: _Shift | None = None

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

        `check` is called at least every tenth of a second and may raise. `pieces` must call `listen` as often when it
        takes its time. Raises StorageError.
        """
        first, *others = self._processes
        if one_by_one:
            _kill(others)
        self._shift = _Shift(self, [first] if one_by_one else self._processes, pieces, check)
        yield from self._shift.answers()

    def listen(self) -> None:
        """To all that are at work, without waiting: their time limits hold only while somebody listens."""
        if self._shift is not None:
            self._shift.listen()


class _Shift:
    """One run of the crew. A single process has all the memory."""

    def __init__(
        self, crew: Crew, processes: Sequence[DocumentProcess], pieces: Iterator[Piece], check: Callable[[], None]
    ) -> None:
        self._crew = crew
        self._processes = processes
        self._pieces = pieces
        self._check = check
        self._idle = deque(processes)
        # With the moment at which each began.
        self._busy: dict[DocumentProcess, tuple[int, Order, float]] = {}
        self._again: deque[tuple[int, Order, float]] = deque()
        self._heard: deque[tuple[int, Message]] = deque()
        self._exhausted = False

    def answers(self) -> Iterator[tuple[int, Message]]:
        while not self._exhausted or self._busy or self._again:
            self._check()
            self._hand_out()
            if self._busy and not self._heard:
                wait_for(self._busy, _LOOK_SECONDS)
                self.listen()
            while self._heard:
                yield self._heard.popleft()
            if self._again and not self._busy:
                yield from self._do_again(*self._again.popleft())

    def listen(self) -> None:
        for process in list(self._busy):
            self._listen_to(process)

    def _hand_out(self) -> None:
        """Give work to those that have none, as long as nothing is to be told or to be done again."""
        while self._idle and not self._again and not self._heard:
            piece = next(self._pieces, None)
            if piece is None:
                self._exhausted = True
                return
            number, order = piece
            if isinstance(order, Order):
                self._begin(number, order)
            else:
                self._heard.append((number, order | {"seconds": 0.0}))

    def _do_again(self, number: int, order: Order, seconds: float) -> Iterator[tuple[int, Message]]:
        first = self._processes[:1]
        _kill(self._processes)
        for _, message in _Shift(self._crew, first, iter([(number, order)]), self._check).answers():
            yield number, message | {"seconds": message["seconds"] + seconds} if "record" in message else message
        # What it has grown to counts against the smaller limit.
        _kill(first)

    def _begin(self, number: int, order: Order) -> None:
        process = self._idle.popleft()
        self._busy[process] = number, order, time.monotonic()
        try:
            process.begin(order, self._memory(order))
        except DocumentError as error:
            self._end(process, {"record": failure(error)})

    def _listen_to(self, process: DocumentProcess) -> None:
        number = self._busy[process][0]
        try:
            messages = process.receive()
        except DocumentError as error:
            messages = [{"record": failure(error)}]
        for message in messages:
            if "record" in message:
                self._end(process, message)
            else:
                self._heard.append((number, message))

    def _end(self, process: DocumentProcess, message: Message) -> None:
        number, order, begun = self._busy.pop(process)
        self._idle.append(process)
        seconds = time.monotonic() - begun
        error = message["record"].get("error")
        if error is not None and error["code"] in _CRASHED and len(self._processes) > 1:
            self._again.append((number, order, seconds))
        else:
            self._heard.append((number, message | {"seconds": seconds}))

    def _memory(self, order: Order) -> int:
        if order.topics:
            return _TOPICS
        return self._crew.alone_bytes if len(self._processes) == 1 else self._crew.side_by_side_bytes


def _kill(processes: Sequence[DocumentProcess]) -> None:
    for process in processes:
        process.kill()

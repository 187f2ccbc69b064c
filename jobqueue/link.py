"""One connection to Redis that many tasks share: commands of one loop tick travel in one write, replies come in order.

Nothing is repeated here: a call whose reply did not come within its deadline fails with QueueUnavailable and may or may
not have been carried out.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

from jobqueue.errors import QueueError, QueueUnavailable
from jobqueue.wire import Argument, ReplyError, Wire, pack, translate

RECONNECT_SECONDS: Final = 0.5

# A command, who waits for its reply, and since when.
_Call = tuple[tuple[Argument, ...], asyncio.Future[Any], float]


class Link:
    """`timeout`: seconds for a call, waiting for a connection included. `on_lost` is awaited before each reconnect."""

    def __init__(
        self, url: str, name: str, *, timeout: float = 1.5, on_lost: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        self._url = url
        self._name = name
        self._timeout = timeout
        self._on_lost = on_lost
        self._wire: Wire | None = None
        self._waiting: list[_Call] = []
        self._sent: deque[_Call] = deque()
        self._flush_asked = False
        self._connecting: asyncio.Task[None] | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._closed = False

    async def call(self, *command: Argument) -> Any:
        """Send one command, wait for its reply. Raises ReplyError for an error reply, else as `translate` says."""
        return await self.send(*command)

    def send(self, *command: Argument) -> asyncio.Future[Any]:
        """The reply to come, for those who send many at once: a task for each would cost more than the reading."""
        if self._closed:
            raise QueueUnavailable("the connection is closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._waiting.append((command, future, loop.time()))
        if not self._flush_asked:
            self._flush_asked = True
            loop.call_soon(self._flush)
        if self._watch is None:
            self._watch = loop.call_later(self._timeout, self._check_deadline)
        return future

    async def close(self) -> None:
        self._closed = True
        if self._watch is not None:
            self._watch.cancel()
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        self._drop(QueueUnavailable("the connection is closed"))
        self._fail_waiting(QueueUnavailable("the connection is closed"))

    def _flush(self) -> None:
        self._flush_asked = False
        if self._wire is None:
            if self._connecting is None and not self._closed:
                self._connecting = asyncio.get_running_loop().create_task(self._connect(), name=f"{self._name}-connect")
            return
        packed = []
        for call in self._waiting:
            if call[1].done():
                continue
            try:
                packed.append(pack(call[0]))
            except (UnicodeEncodeError, TypeError) as error:
                call[1].set_exception(error)
            else:
                self._sent.append(call)
        self._waiting.clear()
        self._wire.write(packed)

    async def _connect(self) -> None:
        try:
            wire = Wire(self._receive, self._lose)
            await wire.open(self._url, self._name)
            self._wire = wire
        except QueueError as error:
            self._fail_waiting(error)
            if self._on_lost is not None:
                await self._on_lost()
            await asyncio.sleep(RECONNECT_SECONDS * random.uniform(0.1, 1.0))
        finally:
            self._connecting = None
        if self._waiting:
            self._flush()

    def _receive(self, reply: Any) -> None:
        _, future, _ = self._sent.popleft()
        if future.done():
            return
        if isinstance(reply, ReplyError):
            future.set_exception(translate(reply) or reply)
        else:
            future.set_result(reply)

    def _lose(self) -> None:
        self._drop(QueueUnavailable("the connection to Redis was lost"))
        self._flush()

    def _check_deadline(self) -> None:
        self._watch = None
        loop = asyncio.get_running_loop()
        limit = loop.time() - self._timeout
        late = QueueUnavailable("Redis did not answer in time")
        if self._sent and self._sent[0][2] <= limit:
            # Later replies stand behind the one that does not come: this connection is of no more use.
            self._drop(late)
        while self._waiting and self._waiting[0][2] <= limit:
            _fail(self._waiting.pop(0), late)
        oldest = min((calls[0][2] for calls in (self._sent, self._waiting) if calls), default=None)
        if oldest is not None:
            self._watch = loop.call_later(max(0.01, oldest - limit), self._check_deadline)

    def _drop(self, reason: QueueError) -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()
        while self._sent:
            _fail(self._sent.popleft(), reason)

    def _fail_waiting(self, reason: QueueError) -> None:
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            _fail(call, reason)


def _fail(call: _Call, reason: QueueError) -> None:
    if not call[1].done():
        call[1].set_exception(reason)

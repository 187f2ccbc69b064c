"""One connection to Redis that many tasks share: commands of one loop tick travel in one write, replies come in order.

redis-py connects, authenticates and parses; what it does not do is decide when to repeat. Nothing is repeated here: a
call whose reply did not come within its deadline fails with QueueUnavailable and may or may not have been carried out.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, OutOfMemoryError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from jobqueue.errors import QueueError, QueueFull, QueueStarting, QueueUnavailable

Argument = str | bytes | int | float

CONNECT_SECONDS: Final = 1.0
RECONNECT_SECONDS: Final = 0.5


def new_connection(url: str, name: str) -> AbstractConnection:
    """An unconnected redis-py connection without silent repeats and without its own read timeout."""
    pool = ConnectionPool.from_url(
        url,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=None,
        socket_connect_timeout=CONNECT_SECONDS,
        client_name=name,
        protocol=2,
    )
    connection: AbstractConnection = pool.make_connection()
    return connection


def translate(error: RedisError) -> QueueError | None:
    """What a Redis error means for a caller; None for an error reply with a code of our own."""
    text = str(error)
    if isinstance(error, BusyLoadingError):
        return QueueStarting("Redis is loading its files")
    if isinstance(error, OutOfMemoryError) or text.startswith(("MISCONF", "OOM")):
        return QueueFull("Redis refuses writes: memory or disk is full")
    if text.startswith(("READONLY", "MASTERDOWN", "NOREPLICAS", "BUSY", "CLUSTERDOWN", "TRYAGAIN")):
        return QueueUnavailable("Redis cannot take writes now")
    if isinstance(error, ResponseError):
        return None
    return QueueUnavailable("Redis is not reachable")


class _Call:
    __slots__ = ("asked_at", "command", "future")

    def __init__(self, command: tuple[Argument, ...], future: asyncio.Future[Any], asked_at: float) -> None:
        self.command = command
        self.future = future
        self.asked_at = asked_at


class Link:
    """`timeout`: seconds for a call, waiting for a connection included. `on_lost` is awaited before each reconnect."""

    def __init__(
        self, url: str, name: str, *, timeout: float = 1.5, on_lost: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        self._url = url
        self._name = name
        self._timeout = timeout
        self._on_lost = on_lost
        self._connection: AbstractConnection | None = None
        self._waiting: list[_Call] = []
        self._sent: deque[_Call] = deque()
        self._wanted = asyncio.Event()
        self._sender: asyncio.Task[None] | None = None
        self._reader: asyncio.Task[None] | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._closed = False

    async def call(self, *command: Argument) -> Any:
        """Send one command, wait for its reply. Raises ResponseError for an error reply, else as `translate` says."""
        if self._closed:
            raise QueueUnavailable("the connection is closed")
        loop = asyncio.get_running_loop()
        call = _Call(command, loop.create_future(), loop.time())
        self._waiting.append(call)
        self._wanted.set()
        if self._sender is None:
            self._sender = loop.create_task(self._send(), name=f"{self._name}-sender")
        if self._watch is None:
            self._watch = loop.call_later(self._timeout, self._check_deadline)
        return await call.future

    async def close(self) -> None:
        self._closed = True
        if self._watch is not None:
            self._watch.cancel()
        for task in (self._sender, self._reader):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        await self._drop(QueueUnavailable("the connection is closed"))

    def _check_deadline(self) -> None:
        self._watch = None
        loop = asyncio.get_running_loop()
        limit = loop.time() - self._timeout
        late = QueueUnavailable("Redis did not answer in time")
        if self._sent and self._sent[0].asked_at <= limit:
            if self._reader is not None:
                self._reader.cancel()
            self._fail_sent(late)
        while self._waiting and self._waiting[0].asked_at <= limit:
            _fail(self._waiting.pop(0), late)
        oldest = min((calls[0].asked_at for calls in (self._sent, self._waiting) if calls), default=None)
        if oldest is not None:
            self._watch = loop.call_later(max(0.01, oldest - limit), self._check_deadline)

    async def _send(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                connection = await self._connected()
                calls = [call for call in self._waiting if not call.future.done()]
                self._waiting = []
                if calls:
                    self._sent.extend(calls)
                    packed = connection.pack_commands([call.command for call in calls])
                    await connection.send_packed_command(packed, check_health=False)
            except (RedisError, OSError) as error:
                await self._lost(error)

    async def _connected(self) -> AbstractConnection:
        connection = self._connection
        if connection is not None and self._reader is not None and not self._reader.done():
            return connection
        await self._drop(QueueUnavailable("the connection to Redis was lost"))
        connection = new_connection(self._url, self._name)
        try:
            await connection.connect()
        except (RedisError, OSError):
            await connection.disconnect(nowait=True)
            raise
        self._connection = connection
        self._reader = asyncio.get_running_loop().create_task(self._read(connection), name=f"{self._name}-reader")
        return connection

    async def _lost(self, error: Exception) -> None:
        reason = translate(error) if isinstance(error, RedisError) else None
        reason = reason or QueueUnavailable("Redis is not reachable")
        await self._drop(reason)
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            _fail(call, reason)
        if self._on_lost is not None:
            await self._on_lost()
        await asyncio.sleep(RECONNECT_SECONDS * random.uniform(0.1, 1.0))

    async def _read(self, connection: AbstractConnection) -> None:
        while True:
            try:
                reply: Any = await connection.read_response(timeout=math.inf, disconnect_on_error=False)
            except (ResponseError, BusyLoadingError) as error:
                reply = error
            except (RedisConnectionError, OSError):
                self._fail_sent(QueueUnavailable("the connection to Redis was lost"))
                self._wanted.set()
                return
            call = self._sent.popleft()
            if call.future.done():
                continue
            if isinstance(reply, RedisError):
                call.future.set_exception(translate(reply) or reply)
            else:
                call.future.set_result(reply)

    def _fail_sent(self, reason: QueueError) -> None:
        while self._sent:
            _fail(self._sent.popleft(), reason)

    async def _drop(self, reason: QueueError) -> None:
        connection, self._connection = self._connection, None
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reader
        self._fail_sent(reason)
        if connection is not None:
            await connection.disconnect(nowait=True)


def _fail(call: _Call, reason: QueueError) -> None:
    if not call.future.done():
        call.future.set_exception(reason)

"""The bare connection: redis-py makes it (address, TLS, authentication), hiredis reads and writes it from then on.

A reply reaches its reader in the loop turn in which its bytes arrive, without a task or a timer of its own: at a few
thousand calls a second that is most of what a call costs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

import hiredis
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, RedisError

from jobqueue.errors import QueueError, QueueFull, QueueStarting, QueueUnavailable

Argument = str | bytes | int | float

CONNECT_SECONDS: Final = 1.0
# hiredis declares a tuple of one; it takes any number.
pack: Final[Callable[[tuple[Argument, ...]], bytes]] = hiredis.pack_command  # type: ignore[assignment]


class ReplyError(Exception):
    """An error reply of Redis; the text begins with its code."""


class Wire(asyncio.Protocol):
    """`on_reply` gets every reply in order, `on_lost` is called once, in the same loop turn as the loss is seen."""

    def __init__(self, on_reply: Callable[[Any], None], on_lost: Callable[[], None]) -> None:
        self._on_reply = on_reply
        self._on_lost = on_lost
        self._reader = hiredis.Reader(replyError=ReplyError)
        self._writer: asyncio.StreamWriter | None = None
        self._transport: asyncio.Transport | None = None
        self._lost = False

    async def open(self, url: str, name: str) -> None:
        """Raises QueueUnavailable, QueueStarting."""
        pool = ConnectionPool.from_url(
            url,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=CONNECT_SECONDS,
            socket_connect_timeout=CONNECT_SECONDS,
            client_name=name,
            protocol=2,
        )
        connection: AbstractConnection = pool.make_connection()
        try:
            await connection.connect()
        except BusyLoadingError:
            await connection.disconnect(nowait=True)
            raise QueueStarting("Redis is loading its files") from None
        except (RedisError, OSError):
            await connection.disconnect(nowait=True)
            raise QueueUnavailable("Redis is not reachable") from None
        writer = connection._writer
        assert writer is not None
        # redis-py and asyncio close what they believe to own when its object goes away.
        connection._reader = connection._writer = None
        self._writer = writer
        # uvloop's transports are of no common class with asyncio's.
        self._transport = cast("asyncio.Transport", writer.transport)
        self._transport.set_protocol(self)

    def write(self, packed: Iterable[bytes]) -> None:
        """Whole commands, as `pack` makes them."""
        assert self._transport is not None
        self._transport.write(b"".join(packed))

    def close(self) -> None:
        """Without a word to `on_lost`."""
        self._lost = True
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            self._on_reply(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._lost:
            self._lost = True
            self._on_lost()


def translate(error: ReplyError) -> QueueError | None:
    """What an error reply means for a caller; None for a code of our own scripts or a defect."""
    text = str(error)
    if text.startswith("LOADING"):
        return QueueStarting("Redis is loading its files")
    if text.startswith(("OOM", "MISCONF")):
        return QueueFull("Redis refuses writes: memory or disk is full")
    if text.startswith(("READONLY", "MASTERDOWN", "NOREPLICAS", "BUSY ", "CLUSTERDOWN", "TRYAGAIN")):
        return QueueUnavailable("Redis cannot take writes now")
    return None

"""Channels followed on a connection of their own, subscribed again whenever it is lost or falls silent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any, Final

from jobqueue.errors import QueueUnavailable
from jobqueue.wire import ReplyError, Wire, pack

log = logging.getLogger(__name__)

AGAIN_SECONDS: Final = 0.5
# Asked for a sign of life after this long, given up after twice.
SILENCE_SECONDS: Final = 2.0


class Subscription:
    """`on_lost` is called each time the subscription has ended."""

    def __init__(
        self, url: str, name: str, channels: tuple[str, ...], on_lost: Callable[[], None] = lambda: None
    ) -> None:
        self._on_lost = on_lost
        self._url = url
        self._name = name
        self._channels = channels

    async def messages(self) -> AsyncIterator[tuple[bytes, bytes | None]]:
        """Pairs of channel and payload, without end; payload None = (re)subscribed, messages before may be missing."""
        while True:
            replies: asyncio.Queue[Any] = asyncio.Queue()
            wire = Wire(replies.put_nowait, partial(replies.put_nowait, None))
            try:
                await wire.open(self._url, self._name)
                _end_if_cancelled()
                wire.write([pack(("SUBSCRIBE", *self._channels))])
                async for message in self._read(wire, replies):
                    yield message
            except QueueUnavailable as error:
                log.info("%s: %s; subscribing again", self._name, error)
            finally:
                wire.close()
                self._on_lost()
            await asyncio.sleep(AGAIN_SECONDS)

    async def _read(self, wire: Wire, replies: asyncio.Queue[Any]) -> AsyncIterator[tuple[bytes, bytes | None]]:
        missing = len(self._channels)
        while True:
            kind, channel, payload = _parse(
                replies.get_nowait() if replies.qsize() else await self._next(wire, replies)
            )
            if kind == b"message":
                yield channel, payload
            elif kind == b"subscribe":
                missing -= 1
                if not missing:
                    yield channel, None

    async def _next(self, wire: Wire, replies: asyncio.Queue[Any]) -> Any:
        """A silent connection is asked for a sign of life once; a half-open one gives none."""
        try:
            reply = await _within(SILENCE_SECONDS, replies)
        except TimeoutError:
            wire.write([pack(("PING",))])
            try:
                reply = await _within(SILENCE_SECONDS, replies)
            except TimeoutError:
                raise QueueUnavailable("the channel is silent") from None
        _end_if_cancelled()
        return reply


def _parse(reply: Any) -> tuple[bytes, bytes, Any]:
    if reply is None or isinstance(reply, ReplyError):
        raise QueueUnavailable("the channel was lost")
    kind, channel, *rest = reply
    return kind, channel, rest[0] if rest else None


def _end_if_cancelled() -> None:
    """A cancellation that something below has swallowed, seen while connecting, must not be forgotten."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def _within(seconds: float, replies: asyncio.Queue[Any]) -> Any:
    """Not `asyncio.wait_for`: up to Python 3.11 that loses a cancellation which comes together with the reply."""
    async with asyncio.timeout(seconds):
        return await replies.get()

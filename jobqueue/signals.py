"""What wakes a worker: jobs in a queue, a free slot, a command. Each on a connection of its own, because it blocks."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

import orjson

from jobqueue.errors import QueueUnavailable
from jobqueue.keys import Keys
from jobqueue.link import Link
from jobqueue.subscription import Subscription
from jobqueue.wire import ReplyError

# Redis answers a blocking call by itself; this much later the connection counts as dead.
PATIENCE_SECONDS: Final = 5.0


class QueueWatch:
    """Tells when a queue list has an entry, whoever put it there, without taking it. `seconds`: the longest wait."""

    def __init__(self, url: str, keys: Keys, name: str, queue: str, seconds: float) -> None:
        self._key = keys.queue(queue)
        self._seconds = seconds
        self._link = Link(url, f"{name}-wait", timeout=seconds + PATIENCE_SECONDS)

    async def wait(self) -> bool:
        """True when the list has an entry, False when none came. Raises QueueUnavailable."""
        try:
            # Moves the head onto the same head: blocks while the list is empty and changes nothing when it is not.
            reply = await self._link.call("BLMOVE", self._key, self._key, "LEFT", "LEFT", self._seconds)
        except ReplyError as error:
            raise QueueUnavailable(str(error)) from error
        return reply is not None

    async def close(self) -> None:
        await self._link.close()


class WorkerChannel:
    """Commands for one worker (RQ's own channel of that worker), and the sign that a slot became free."""

    def __init__(self, url: str, keys: Keys, worker: str) -> None:
        self._wake = keys.wake.encode()
        self._subscription = Subscription(url, f"{worker}-commands", (keys.worker_channel(worker), keys.wake))

    async def messages(self) -> AsyncIterator[dict[str, Any]]:
        """Without end: `{"command": ...}` objects, `{"command": "wake"}` for a free slot or after each subscription.

        A lost connection is made again; what was sent meanwhile is lost, so read again what matters after a `wake`.
        """
        async for channel, payload in self._subscription.messages():
            if payload is None or channel == self._wake:
                yield {"command": "wake"}
                continue
            with contextlib.suppress(orjson.JSONDecodeError):
                message = orjson.loads(payload)
                if isinstance(message, dict):
                    yield message

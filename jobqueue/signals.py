"""What wakes a worker: jobs in a queue, a free slot, a command. Each on a connection of its own, because it blocks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import orjson
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from jobqueue.errors import QueueUnavailable
from jobqueue.keys import Keys
from jobqueue.link import new_connection

log = logging.getLogger(__name__)

SUBSCRIBE_AGAIN_SECONDS: Final = 0.5
SILENCE_SECONDS: Final = 5.0


class QueueWatch:
    """Tells when a queue list has an entry, whoever put it there, without taking it."""

    def __init__(self, url: str, keys: Keys, name: str, queue: str) -> None:
        self._url = url
        self._key = keys.queue(queue)
        self._name = f"{name}-wait"
        self._connection: AbstractConnection | None = None

    async def wait(self, seconds: float) -> bool:
        """True when the list has an entry, False after `seconds`. Raises QueueUnavailable."""
        try:
            if self._connection is None:
                connection = new_connection(self._url, self._name)
                await connection.connect()
                self._connection = connection
            # Moves the head onto the same head: blocks while the list is empty and changes nothing when it is not.
            await self._connection.send_command("BLMOVE", self._key, self._key, "LEFT", "LEFT", seconds)
            reply = await self._connection.read_response(timeout=seconds + 5)
        except (RedisError, OSError) as error:
            await self.close()
            raise QueueUnavailable("Redis is not reachable") from error
        except asyncio.CancelledError:
            await self.close()
            raise
        return reply is not None

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)


class WorkerChannel:
    """Commands for one worker (RQ's own channel `pubsub:W`), and the sign that a slot became free."""

    def __init__(self, url: str, keys: Keys, worker: str) -> None:
        self._url = url
        self._keys = keys
        self._worker = worker

    async def messages(self) -> AsyncIterator[dict[str, Any]]:
        """Without end: `{"command": ...}` objects, `{"command": "wake"}` for a free slot or after each subscription.

        A lost connection is made again; what was sent meanwhile is lost, so read again what matters after a `wake`.
        """
        while True:
            connection = new_connection(self._url, f"{self._worker}-commands")
            try:
                await connection.connect()
                async for message in self._read(connection):
                    yield message
            except (RedisError, OSError) as error:
                log.info("command channel lost, subscribing again: %s", error)
            finally:
                await connection.disconnect(nowait=True)
            await asyncio.sleep(SUBSCRIBE_AGAIN_SECONDS)

    async def _read(self, connection: AbstractConnection) -> AsyncIterator[dict[str, Any]]:
        channels: Sequence[str] = (self._keys.worker_channel(self._worker), self._keys.wake)
        await connection.send_command("SUBSCRIBE", *channels)
        asked = False
        while True:
            reply = await connection.read_response(timeout=SILENCE_SECONDS)
            if reply is None:
                if asked:
                    raise RedisConnectionError("the command channel is silent")
                await connection.send_command("PING")
            asked = reply is None
            if reply is None or reply[0] == b"pong":
                continue
            kind, channel, payload = reply
            if kind == b"subscribe" or channel == self._keys.wake.encode():
                yield {"command": "wake"}
                continue
            with contextlib.suppress(orjson.JSONDecodeError):
                message = orjson.loads(payload)
                if isinstance(message, dict):
                    yield message

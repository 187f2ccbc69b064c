"""The event channel, followed by one subscription per process.

Events are an accelerator, the records are the truth: whoever watches jobs registers first, waits for the confirmed
subscription, then reads; after a gap (a reconnect, a jump in the namespace's counter, a silent channel) it reads again.

A message is JSON: `n` the counter (one per publishing script call, the seq of every job in it), `t` unix milliseconds,
`jobs` rows of [id, state, status_seq, progress, step, user, type]. A tick has `n`, `tick` (server) and `sent`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any, Final

import orjson

from jobqueue.errors import QueueError
from jobqueue.job import JobChange
from jobqueue.namespace import Namespace
from jobqueue.subscription import Subscription

log = logging.getLogger(__name__)

TICK_SECONDS: Final = 1.0
# In the place of a state: the job was removed.
DELETED: Final = "deleted"


class EventFeed:
    """`lag_ms`: how long the last tick travelled."""

    def __init__(self, namespace: Namespace, url: str, name: str) -> None:
        self._namespace = namespace
        self._subscribed = asyncio.Event()
        self._subscription = Subscription(
            url, f"{name}-events", (namespace.keys.events,), on_lost=self._subscribed.clear
        )
        self._name = name
        self._on_change: list[Callable[[JobChange], None]] = []
        self._on_gap: list[Callable[[], None]] = []
        self._on_removed: list[Callable[[str], None]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._last: int | None = None
        self.lag_ms = 0.0

    def on_change(self, callback: Callable[[JobChange], None]) -> None:
        self._on_change.append(callback)

    def on_gap(self, callback: Callable[[], None]) -> None:
        self._on_gap.append(callback)

    def on_removed(self, callback: Callable[[str], None]) -> None:
        """`callback` gets the ids of jobs that were deleted by hand; those that expire leave without a word."""
        self._on_removed.append(callback)

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._follow(), name="event-feed"),
            loop.create_task(self._tick_always(), name="event-tick"),
        ]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    async def wait_subscribed(self) -> None:
        await self._subscribed.wait()

    @property
    def subscribed(self) -> bool:
        return self._subscribed.is_set()

    async def _follow(self) -> None:
        async for _, payload in self._subscription.messages():
            if payload is None:
                self._last = None
                self._subscribed.set()
                self._gap()
            else:
                self._hear(payload)

    def _hear(self, payload: bytes) -> None:
        try:
            self._receive(orjson.loads(payload))
        except (ValueError, KeyError, TypeError) as error:
            # Whoever can publish can publish nonsense; what it stood for is read from the records.
            log.warning("an event could not be read: %s", error)
            self._last = None
            self._gap()

    def _receive(self, message: dict[str, Any]) -> None:
        n = message["n"]
        if "tick" in message:
            if self._last is not None and n != self._last:
                self._gap()
            self._last = n
            if message["tick"] == self._name:
                self.lag_ms = (time.monotonic() - float(message["sent"])) * 1000
            return
        if self._last is not None and n != self._last + 1:
            self._gap()
        self._last = n
        for job_id, state, status_seq, progress, step, user, job_type in message["jobs"]:
            if state == DELETED:
                for tell in self._on_removed:
                    tell(job_id)
                continue
            change = JobChange(job_id, n, status_seq, state, progress, step, user, job_type)
            for callback in self._on_change:
                callback(change)

    def _gap(self) -> None:
        for callback in self._on_gap:
            callback()

    async def _tick_always(self) -> None:
        while True:
            with contextlib.suppress(QueueError):
                await self._namespace.run("ping_events", {"server": self._name, "sent": repr(time.monotonic())})
            await asyncio.sleep(TICK_SECONDS)

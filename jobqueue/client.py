"""The library's front door: everything about one queue system on one Redis."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from typing import Final

from jobqueue.cleanup import Cleanup
from jobqueue.config import Settings
from jobqueue.control import Control
from jobqueue.embedded import EmbeddedValkey
from jobqueue.errors import QueueError, QueueFull, QueueUnavailable, ScriptError
from jobqueue.events import EventFeed
from jobqueue.inspector import Inspector
from jobqueue.job_folders import JobFolders
from jobqueue.keys import Keys
from jobqueue.link import Link
from jobqueue.maintenance import Maintenance
from jobqueue.namespace import Namespace
from jobqueue.presence import Presence
from jobqueue.producer import Producer
from jobqueue.schedules import Schedules
from jobqueue.server_version import check_server

log = logging.getLogger(__name__)

EMBEDDED: Final = "embedded"
CONFIGURE_AGAIN_SECONDS: Final = 0.5


class JobQueue:
    """`name` identifies this process; unique per start. Open with `JobQueue.open`, end with `close`."""

    def __init__(self, settings: Settings, name: str, url: str, embedded: EmbeddedValkey | None) -> None:
        self.name = name
        self.url = url
        self.settings = settings
        self._embedded = embedded
        self._configuring: asyncio.Task[None] | None = None
        self._refused = False
        self._link = Link(url, name, timeout=settings.redis.call_timeout_seconds, on_lost=self._revive)
        self.namespace = Namespace(self._link, Keys(settings.redis.key_prefix))
        self.producer = Producer(self.namespace, cancelled_ttl=settings.retention.cancelled_seconds)
        self.schedules = Schedules(self.namespace, self.producer, settings)
        self.inspector = Inspector(self.namespace)
        self.events = EventFeed(self.namespace, url, name)
        self.control = Control(self.namespace)
        self.presence = Presence(self.namespace, name)
        self.maintenance = Maintenance(
            self.namespace,
            lease_us=int(settings.queue.lease_seconds * 1_000_000),
            interval_us=int(min(settings.server.tick_seconds, settings.worker.tick_seconds) * 1_000_000),
        )

        folders = JobFolders(self.namespace, settings.storage.jobs_dir)
        self.cleanup = Cleanup(self.namespace, name, settings.retention, folders)

    @classmethod
    async def open(cls, settings: Settings, *, name: str) -> JobQueue:
        """Connects lazily: does not raise when Redis is away. Raises ConfigurationError for an unusable data folder."""
        embedded = None
        url = settings.redis.url
        if url == EMBEDDED:
            embedded = EmbeddedValkey(settings.storage.valkey_dir, maxmemory_mb=settings.redis.maxmemory_mb)
            url = embedded.url
            with contextlib.suppress(QueueUnavailable):
                await asyncio.to_thread(embedded.ensure)
        queue = cls(settings, name, url, embedded)
        if not await queue._configure():
            queue._configuring = asyncio.get_running_loop().create_task(queue._configure_late(), name="configure")
        return queue

    async def _configure(self) -> bool:
        """Write what this process's configuration says about limits, look at the server; False while Redis is away."""
        limits = self.settings.limits
        try:
            await self.control.configure_limits(total=limits.total, per_user=limits.per_user)
            for warning in await check_server(self._link):
                log.warning("%s", warning)
        except ScriptError as error:
            # Not an outage: an operator has to do something, rights for instance.
            if not self._refused:
                log.error("Redis refuses what this service needs: %s", error)
            self._refused = True
            return False
        except QueueError:
            return False
        return True

    async def _configure_late(self) -> None:
        while True:
            await asyncio.sleep(CONFIGURE_AGAIN_SECONDS)
            if await self._configure():
                return

    async def register_worker(self) -> None:
        """Announce this process as a worker; repeatable."""
        worker = self.settings.worker
        await self.presence.register_worker(
            queues=worker.queues,
            host=socket.gethostname(),
            pid=os.getpid(),
            concurrency=worker.concurrency,
            result_ttl=worker.default_result_ttl_seconds,
        )

    async def ready(self) -> None:
        """Proves that Redis takes writes, which a full disk stops before it stops reads; full memory does not count.

        Raises QueueUnavailable, or its kind QueueStarting while Redis loads its files.
        """
        try:
            await self.namespace.run("check_write", {})
        except (QueueFull, ScriptError) as error:
            raise QueueUnavailable("Redis takes no writes") from error

    async def close(self) -> None:
        if self._configuring is not None:
            self._configuring.cancel()
            await asyncio.gather(self._configuring, return_exceptions=True)
        await self.events.stop()
        await self._link.close()
        if self._embedded is not None:
            await asyncio.to_thread(self._embedded.release)

    async def _revive(self) -> None:
        if self._embedded is None:
            return
        try:
            await asyncio.to_thread(self._embedded.ensure)
        except QueueError as error:
            log.error("the embedded Valkey does not come back: %s", str(error).partition("\n")[0])

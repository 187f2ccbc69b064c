"""The server's duties beside answering: rescue, due jobs, schedules, silent workers, its own presence, uploaded files,
host figures.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator
from functools import partial
from typing import Final

from aiohttp import web

from jobqueue import JobQueue, Settings
from jobqueue.errors import QueueError
from server.app_keys import GAUGES, QUEUE, SETTINGS, UPLOADS
from server.gauges import Gauges
from server.periodic import every
from server.tasks import start_task
from server.upload_expiry import UploadExpiry
from server.uploads import Uploads

log = logging.getLogger(__name__)

PRESENCE_SECONDS: Final = 5.0
CPU_SECONDS: Final = 2.0
UPLOADS_SECONDS: Final = 300.0
# Between two looks whether a cleanup is due: that long it waits at most after a cold start, after a server that did it
# has died, or when a strange key holds everybody up.
LONGEST_CLEANUP_LOOK_SECONDS: Final = 1.0


class Duties:
    def __init__(self, queue: JobQueue, gauges: Gauges, uploads: Uploads) -> None:
        self._queue = queue
        self._uploads = UploadExpiry(uploads, queue.inspector)
        self._gauges = gauges
        self._registered = False

    def start(self, settings: Settings) -> list[asyncio.Task[None]]:
        table = (
            ("tick", settings.server.tick_seconds, self._tick),
            ("schedules", settings.server.tick_seconds, self._fire_schedules),
            ("worker-check", settings.server.worker_check_seconds, self._check_workers),
            ("presence", PRESENCE_SECONDS, self._beat),
            ("cleanup", min(LONGEST_CLEANUP_LOOK_SECONDS, settings.retention.interval_seconds), self._clean),
            ("uploads", min(UPLOADS_SECONDS, settings.storage.upload_retention_seconds / 4), self._expire_uploads),
            ("cpu-sampler", CPU_SECONDS, self._gauges.sample_cpu),
        )
        return [start_task(partial(every, seconds, action, name=name), name=name) for name, seconds, action in table]

    async def _tick(self) -> bool:
        report = await self._queue.maintenance.tick()
        if report.rescued or report.failed:
            log.warning("took jobs from lost workers: rescued=%d failed=%d", report.rescued, report.failed)
        return report.more

    async def _fire_schedules(self) -> bool:
        report = await self._queue.schedules.tick()
        if report.skipped or report.refused:
            # Each has the reason in its record.
            log.warning("schedules made no job: skipped=%d refused=%d", report.skipped, report.refused)
        if report.repaired:
            log.warning("schedules stood at a wrong time and were put right: %d", report.repaired)
        return report.more

    async def _check_workers(self) -> None:
        if removed := await self._queue.maintenance.check_workers():
            log.warning("removed registrations of silent workers: %d", removed)

    async def _clean(self) -> None:
        if not self._registered:
            # Whether the system starts cold is decided by the first beat.
            await self._beat()
        report = await self._queue.cleanup.run_if_due()
        if report is None:
            return
        if report.cold_removed:
            log.info("cold start: removed the jobs that ended long ago: %d", report.cold_removed)
        if report.keys_put_aside:
            log.error("keys held something else than ours, it was put aside: %d", report.keys_put_aside)
        if report.repaired or report.damaged:
            log.warning("cleanup found records out of order: repaired=%d damaged=%d", report.repaired, report.damaged)

    async def _expire_uploads(self) -> None:
        try:
            removed = await self._uploads.run()
        except OSError as error:
            log.warning("uploaded files cannot be looked at: %s", error)
            return
        if removed:
            log.info("removed uploaded files that no job needs any more: %d", removed)

    async def _beat(self) -> None:
        await self._gauges.sample_memory()
        await self._queue.presence.beat_server(host=socket.gethostname(), pid=os.getpid(), rss_mb=self._gauges.rss_mb)
        self._registered = True


async def background(app: web.Application) -> AsyncIterator[None]:
    tasks = Duties(app[QUEUE], app[GAUGES], app[UPLOADS]).start(app[SETTINGS])
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    with contextlib.suppress(QueueError):
        await app[QUEUE].presence.remove_server()

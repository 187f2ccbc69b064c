"""One client's stream of one job: the present state at once, then changes, `job_complete` last."""

from __future__ import annotations

import asyncio
import random
from typing import Any, Final

from jobqueue import Job, JobChange
from jobqueue.errors import JobNotFound, QueueUnavailable
from jobqueue.states import TERMINAL
from server import sse
from server.answers import complete_json, snapshot_json, update_json
from server.hub import as_change
from server.job_reader import WAITING, JobReader
from server.watcher import Watcher

# Progress comes at most this often; changes of status always at once.
PROGRESS_SECONDS: Final = 0.25
READ_AGAIN_SECONDS: Final = 1.0
# One event wakes thousands of streams; afterwards each keeps silent for a time of its own.
SHORTEST_SILENCE: Final = 0.75


def is_seen(job: Job, last_id: int | None) -> bool:
    """The client has seen the end of this job and nothing has happened since: it need not come again."""
    return job.state in TERMINAL and job.announced and last_id is not None and last_id >= job.status_seq


class JobStream:
    def __init__(
        self,
        job_id: str,
        writer: sse.EventWriter,
        *,
        watcher: Watcher,
        reader: JobReader,
        keep_alive_seconds: float,
    ) -> None:
        self._job_id = job_id
        self._writer = writer
        self._watcher = watcher
        self._reader = reader
        self._silence = keep_alive_seconds * random.uniform(SHORTEST_SILENCE, 1.0)

    async def run(self, job: Job, last_id: int | None) -> None:
        """`job`: as read after the watcher was registered. Ends after `job_complete` or when the watch ends."""
        await self._tell(job, last_id)
        await self._writer.close()

    async def _tell(self, job: Job, last_id: int | None) -> None:
        if job.state in TERMINAL:
            await self._complete(as_change(job))
        elif last_id == job.seq:
            # Nothing new, but the answer's head must go out.
            await self._writer.write(sse.KEEP_ALIVE)
            await self._follow()
        else:
            await self._writer.write(sse.encode("job_update", snapshot_json(job), event_id=job.seq))
            await self._follow()

    async def _follow(self) -> None:
        while True:
            if not await self._watcher.wait(self._until_keep_alive(), status_only=False):
                await self._writer.write(sse.KEEP_ALIVE)
                continue
            for change in self._watcher.take():
                if change.state in TERMINAL:
                    await self._complete(change)
                    return
                await self._update(change)
            # Not before: an end that came together with the shutdown is still sent.
            if self._watcher.ended:
                return
            await self._watcher.wait(PROGRESS_SECONDS, status_only=True)

    async def _update(self, change: JobChange) -> None:
        data = await self._snapshot(change) if change.state in WAITING else update_json(change)
        await self._writer.write(sse.encode("job_update", data, event_id=change.seq))

    async def _snapshot(self, change: JobChange) -> dict[str, Any]:
        """A job that went back to wait, with the reason; without it when that cannot be told any more."""
        try:
            job = await self._reader.get_explained(self._job_id)
        except (JobNotFound, QueueUnavailable):
            return update_json(change)
        return snapshot_json(job) if job.seq == change.seq else update_json(change)

    async def _complete(self, change: JobChange) -> None:
        try:
            block = await self._end_of(change)
        except QueueUnavailable:
            # The client comes back, to this server's successor.
            return
        await self._writer.write(block)

    async def _end_of(self, change: JobChange) -> bytes:
        job = await self._read_end()
        if job is not None and job.status_seq == change.status_seq:
            return self._watcher.ending.block(job, _encode_end)
        # Restarted or removed since: what it ended with is known, why is not any more.
        gone = "the reason was overwritten by a restart" if change.state == "failed" else None
        return sse.encode("job_complete", complete_json(change, None, gone), event_id=change.seq)

    async def _read_end(self) -> Job | None:
        """None when the job is gone. Raises QueueUnavailable when the watch ends before Redis could be asked."""
        while True:
            try:
                return await self._reader.get(self._job_id, result=True)
            except JobNotFound:
                return None
            except QueueUnavailable:
                if self._watcher.ended:
                    raise
            await asyncio.sleep(READ_AGAIN_SECONDS)
            if self._until_keep_alive() <= 0:
                await self._writer.write(sse.KEEP_ALIVE)

    def _until_keep_alive(self) -> float:
        idle = asyncio.get_running_loop().time() - self._writer.written_at
        return self._silence - idle


def _encode_end(job: Job) -> bytes:
    return sse.encode("job_complete", complete_json(as_change(job), job.result, job.error), event_id=job.seq)

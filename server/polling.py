"""Long-poll: one answer, given when the job has changed or the time is over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from jobqueue import Job
from jobqueue.states import TERMINAL
from server.errors import InvalidParameterError
from server.hub import Hub
from server.job_reader import JobReader

DEFAULT_SECONDS: Final = 30.0
MOST_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True)
class Wish:
    """`known`: the status that the client has seen, in its own words."""

    known: str | None
    seconds: float
    on_progress: bool

    def is_fulfilled(self, job: Job) -> bool:
        if self.known is None:
            return job.state in TERMINAL
        return self.known != job.state


def parse_wish(query: Mapping[str, str]) -> Wish:
    wake_on = query.get("wake_on", "status")
    if wake_on not in ("status", "progress"):
        raise InvalidParameterError([(("wake_on",), "must be status or progress")])
    return Wish(query.get("current_status"), _seconds(query.get("timeout")), wake_on == "progress")


def _seconds(text: str | None) -> float:
    if text is None:
        return DEFAULT_SECONDS
    try:
        # float() also reads digits of other scripts and 3_0, which nobody means.
        seconds = float(text) if text.isascii() and "_" not in text else -1.0
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= MOST_SECONDS:
        raise InvalidParameterError([(("timeout",), f"must be a number of seconds from 0 to {MOST_SECONDS:.0f}")])
    return seconds


async def poll(hub: Hub, reader: JobReader, job_id: str, wish: Wish) -> Job:
    """Raises JobNotFound, also when the job goes while waiting; QueueUnavailable."""
    with hub.watch(job_id) as watcher:
        job = await reader.get(job_id)
        if wish.is_fulfilled(job) or not wish.seconds:
            return await reader.explain(job)
        hub.begin(watcher, job)
        await watcher.wait(wish.seconds, status_only=not wish.on_progress)
    return await reader.get_explained(job_id)

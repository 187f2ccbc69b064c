"""Recurring jobs: schedules by cron or interval, kept in Redis. `tick` makes their jobs and may run in any number of
processes: a job and the tick that made it change in one script, so no tick is lost and none comes twice.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from jobqueue import schedule_record
from jobqueue.config import Settings
from jobqueue.errors import DuplicateSchedule, InvalidSchedule, ScheduleNotFound
from jobqueue.job import Enqueued
from jobqueue.namespace import Namespace
from jobqueue.producer import Producer
from jobqueue.schedule_record import RECORD_FIELDS, NewSchedule, Schedule, Unreadable, is_schedule_id
from jobqueue.schedule_ticker import ScheduleReport, ScheduleTicker
from jobqueue.wire import Argument, ReplyError

log = logging.getLogger(__name__)

MOST_LOOKED_AT: Final = 500
READ_TOGETHER: Final = 25
# Records hold whole parameters: a page ends when it has so much, however few they are.
MOST_PAGE_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class SchedulePage:
    """A part of the list, newest first. `next_cursor`: where the next part begins; None = this was the last."""

    schedules: tuple[Schedule, ...]
    next_cursor: int | None


class Schedules:
    def __init__(self, namespace: Namespace, producer: Producer, settings: Settings) -> None:
        self._namespace = namespace
        self._producer = producer
        self._ticker = ScheduleTicker(namespace, producer, settings)

    async def tick(self) -> ScheduleReport:
        """Make the jobs that are due, one bounded batch; `more`: tick again at once.

        Raises QueueUnavailable, QueueFull: what was not done is done by a later tick, here or elsewhere.
        """
        return await self._ticker.tick()

    async def create(self, new: NewSchedule) -> Schedule:
        """The same id with the same content is answered, not repeated. The first job of an interval comes after it.

        Raises InvalidSchedule, DuplicateSchedule, QueueFull, QueueUnavailable (then ask again with the same id).
        """
        first = new.check(await self._now())
        rule, template = schedule_record.dump_rule(new.recurrence), schedule_record.dump_template(new.job)
        given: dict[str, Argument] = {
            "id": new.schedule_id,
            "user": new.job.user_id,
            "name": new.name,
            "rule": rule,
            "template": template,
            "digest": schedule_record.digest(new, rule, template),
            "tick": "" if new.paused else first,
        }
        if await self._namespace.run("create_schedule", given) == b"conflict":
            raise DuplicateSchedule(new.schedule_id)
        return await self.get(new.schedule_id)

    async def get(self, schedule_id: str) -> Schedule:
        """Raises ScheduleNotFound."""
        (row,) = await self._read([_known_form(schedule_id)])
        schedule = _readable(schedule_id, *row)
        if schedule is None:
            raise ScheduleNotFound(schedule_id)
        return schedule

    async def page(self, *, user_id: str | None = None, limit: int = 50, cursor: int | None = None) -> SchedulePage:
        """A part of the list of all schedules, newest first; `cursor` is the `next_cursor` of the part before.

        Looks at 500 at most and reads some MiB at most: a page may be short although more follow.
        """
        most = MOST_LOOKED_AT if user_id is not None else min(MOST_LOOKED_AT, limit)
        given: dict[str, Argument] = {"user": user_id or "", "before": cursor or 0, "most": most}
        flat, rest = await self._namespace.run("page_schedules", given)
        found = [
            (schedule_id.decode(), int(created)) for schedule_id, created in zip(flat[::2], flat[1::2], strict=True)
        ]
        shown: list[Schedule] = []
        seen = size = 0
        while seen < min(len(found), limit) and size < MOST_PAGE_BYTES:
            ids = [schedule_id for schedule_id, _ in found[seen : min(limit, seen + READ_TOGETHER)]]
            for schedule_id, (fields, tick) in zip(ids, await self._read(ids), strict=True):
                schedule = _readable(schedule_id, fields, tick)
                shown += [schedule] if schedule is not None else []
                size += sum(len(value) for value in fields if value)
            seen += len(ids)
        if seen < len(found):
            return SchedulePage(tuple(shown), found[seen - 1][1])
        return SchedulePage(tuple(shown), int(rest) if rest else None)

    async def remove(self, schedule_id: str) -> None:
        """Jobs that it made stay. Raises ScheduleNotFound."""
        await self._namespace.run("remove_schedule", {"id": _known_form(schedule_id)})

    async def pause(self, schedule_id: str) -> Schedule:
        """No tick comes until `resume`, also none that is due already. Raises ScheduleNotFound."""
        await self._namespace.run("pause_schedule", {"id": _known_form(schedule_id)})
        return await self.get(schedule_id)

    async def resume(self, schedule_id: str) -> Schedule:
        """Ticks come again from now on; those of the pause do not. Intervals begin now.

        Raises ScheduleNotFound, InvalidSchedule (its time zone is known no more, for instance).
        """
        schedule = await self.get(schedule_id)
        first = schedule.recurrence.check(await self._now())
        await self._namespace.run("resume_schedule", {"id": schedule_id, "tick": first})
        return await self.get(schedule_id)

    async def run_now(self, schedule_id: str, *, once: str | None = None) -> Enqueued:
        """One more job, also of a paused schedule; its ticks and `runs` stay as they are. `once` as for `enqueue`.

        Raises ScheduleNotFound, InvalidSchedule (a newer version of this library made it), and as `Producer.enqueue`.
        """
        (((_, template, *_), _),) = await self._read([_known_form(schedule_id)])
        if template is None:
            raise ScheduleNotFound(schedule_id)
        try:
            job = schedule_record.load_template(template, str(uuid.uuid4()))
        except Unreadable as error:
            raise InvalidSchedule("job", f"cannot be read: {error}") from None
        job.schedule_id = _known_form(schedule_id)
        return await self._producer.enqueue(job, once=once)

    async def _now(self) -> int:
        seconds, micros = await self._namespace.call("TIME")
        return int(seconds) * 1_000_000 + int(micros)

    async def _read(self, schedule_ids: Sequence[str]) -> list[tuple[list[bytes | None], bytes | None]]:
        """The fields and the tick of each."""
        send, keys = self._namespace.link.send, self._namespace.keys
        replies: list[Any] = await asyncio.gather(
            *(send("HMGET", keys.schedule(schedule_id), *RECORD_FIELDS) for schedule_id in schedule_ids),
            *(send("ZSCORE", keys.ticks, schedule_id) for schedule_id in schedule_ids),
            return_exceptions=True,
        )
        nothing: list[bytes | None] = [None] * len(RECORD_FIELDS)
        rows, ticks = replies[: len(schedule_ids)], replies[len(schedule_ids) :]
        for n, reply in enumerate(replies):
            if isinstance(reply, ReplyError) and n < len(rows):
                # A key of another type under a schedule's name is none; every other failure concerns them all.
                rows[n] = nothing
            elif isinstance(reply, BaseException):
                raise reply
        return list(zip(rows, ticks, strict=True))


def _readable(schedule_id: str, fields: list[bytes | None], tick: bytes | None) -> Schedule | None:
    try:
        return schedule_record.load(schedule_id, fields, tick)
    except Unreadable as error:
        # It must not hide the others of its page.
        log.error("%s", error)
        return None


def _known_form(schedule_id: str) -> str:
    if not is_schedule_id(schedule_id):
        raise ScheduleNotFound(schedule_id)
    return schedule_id

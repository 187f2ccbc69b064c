"""Makes the jobs of due schedules: what is due comes from one throttled script, each job and the step to the next tick
from one `enqueue`. Several processes may be at it at once; a tick that somebody else fired meanwhile is superseded.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from jobqueue import schedule_record
from jobqueue.config import Settings
from jobqueue.errors import QueueError, QueueFull, QueueUnavailable, ScheduleSuperseded
from jobqueue.job import Firing, NewJob
from jobqueue.logs import UNQUOTED
from jobqueue.namespace import Namespace
from jobqueue.producer import Producer
from jobqueue.recurrence import LATE_US, MICRO
from jobqueue.schedule_record import Unreadable
from jobqueue.wire import Argument

log = logging.getLogger(__name__)

BATCH: Final = 100
AT_ONCE: Final = 20
# Schedules whose ticks are looked at each time although they are not due: all of 10,000 in some eight minutes.
SAMPLE: Final = 20
# Processes may know different job types and versions, during a rolling restart for instance: what one does not know is
# left to the others for so long. Less than LATE_US, so that the reason is told and not that nobody came.
UNKNOWN_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class ScheduleReport:
    """What one tick did. `fired`: jobs made; `skipped`: schedules whose missed ticks were passed over; `refused`: that
    could make no job, their records say why; `repaired`: whose next tick was wrong; `more`: tick again at once.
    """

    fired: int = 0
    skipped: int = 0
    refused: int = 0
    repaired: int = 0
    more: bool = False


@dataclass(frozen=True, slots=True)
class _Due:
    schedule_id: str
    tick: int
    rule: bytes
    template: bytes
    runs: int


@dataclass(frozen=True, slots=True)
class _Move:
    """A tick that goes on without a job. `tick`, `following`: None = there is none."""

    schedule_id: str
    tick: int | None
    following: int | None
    kind: str
    error: str = ""


# What became of a due schedule.
_Outcome = _Move | str
_FIRED: Final = "fired"
_LEFT: Final = "left"
_KNOWN: Final = "known"
_SUPERSEDED: Final = "superseded"


class ScheduleTicker:
    def __init__(self, namespace: Namespace, producer: Producer, settings: Settings) -> None:
        self._namespace = namespace
        self._producer = producer
        self._job_types = settings.job_types.keys()
        self._interval_us = int(min(settings.server.tick_seconds, settings.worker.tick_seconds) * MICRO)
        self._more = False
        self._offset = 0
        self._stands_back_until = 0.0
        # What was left to others: a schedule with its tick, and since when.
        self._left: dict[tuple[str, int], float] = {}

    async def tick(self) -> ScheduleReport:
        loop = asyncio.get_running_loop()
        if loop.time() < self._stands_back_until:
            return ScheduleReport()
        now, more, due, others = await self._look()
        outcomes, failure = await self._fire_all(due, now)
        moves = [outcome for outcome in outcomes if isinstance(outcome, _Move)]
        moved = await self._move([*moves, *_repairs(others, now)])
        self._more = more and failure is None
        self._leave(outcomes.count(_LEFT), loop.time())
        if failure is not None:
            raise failure
        kinds = [move.kind for move in moved]
        return ScheduleReport(
            fired=outcomes.count(_FIRED),
            skipped=kinds.count("skipped"),
            refused=kinds.count("refused"),
            repaired=kinds.count("repaired"),
            more=self._more,
        )

    def _leave(self, left: int, now: float) -> None:
        # It stands at the head of those that are due: the next batch begins behind it.
        self._offset = self._offset + left if self._more else 0
        if left and not self._more:
            # The one who acts keeps all others from acting for an interval: now it is their turn.
            self._stands_back_until = now + 2 * self._interval_us / MICRO
        self._left = {key: since for key, since in self._left.items() if now - since < 2 * UNKNOWN_SECONDS}

    async def _look(self) -> tuple[int, bool, list[_Due], list[tuple[str, int | None, bytes]]]:
        """The present, whether there is more, what is due, and some of the others with their ticks and rules."""
        # A bit less than the interval, so that tickers in step do not skip every other beat.
        interval = 0 if self._more else self._interval_us * 9 // 10
        given: dict[str, Argument] = {"interval": interval, "offset": self._offset, "batch": BATCH, "sample": SAMPLE}
        now, more, due, others = await self._namespace.run("due_schedules", given)
        return (
            int(now),
            bool(more),
            [_Due(_text(row[0]), int(row[1]), row[2], row[3], int(row[4])) for row in _rows(due, 5)],
            [(_text(row[0]), int(row[1]) if row[1] else None, row[2]) for row in _rows(others, 3)],
        )

    async def _fire_all(self, due: Sequence[_Due], now: int) -> tuple[list[_Outcome], BaseException | None]:
        """What became of each, and the failure for which the others were left due."""
        outcomes: list[_Outcome] = []
        for first in range(0, len(due), AT_ONCE):
            part = due[first : first + AT_ONCE]
            answers = await asyncio.gather(*(self._fire(entry, now) for entry in part), return_exceptions=True)
            failure = None
            for entry, answer in zip(part, answers, strict=True):
                if isinstance(answer, (QueueUnavailable, QueueFull)) or not isinstance(answer, (_Move, str, Exception)):
                    failure = failure or answer
                else:
                    outcomes.append(_told(entry, answer))
            if failure is not None:
                return outcomes, failure
        return outcomes, None

    async def _fire(self, due: _Due, now: int) -> _Outcome:
        """Raises QueueUnavailable, QueueFull: the tick stays due."""
        try:
            rule = schedule_record.load_rule(due.rule)
        except Unreadable as error:
            return self._refuse(due, None, f"its rule cannot be read: {error}")
        following = rule.following(due.tick, now)
        if rule.missed == "skip" and now - due.tick > LATE_US:
            return _Move(due.schedule_id, due.tick, following, "skipped", _skipped_text(due.tick, now))
        try:
            job = schedule_record.load_template(due.template, rule.job_id(due.schedule_id, due.tick, due.runs))
        except Unreadable as error:
            return self._refuse(due, following, f"it cannot be read: {error}")
        if job.job_type and job.job_type not in self._job_types:
            return self._refuse(due, following, f"there is no job type {job.job_type} any more")
        job.schedule_id = due.schedule_id
        return await self._enqueue(due, job, following)

    async def _enqueue(self, due: _Due, job: NewJob, following: int | None) -> _Outcome:
        try:
            enqueued = await self._producer.enqueue(job, firing=Firing(due.schedule_id, due.tick, following))
        except ScheduleSuperseded:
            return _SUPERSEDED
        except (QueueUnavailable, QueueFull):
            raise
        except QueueError as error:
            return _Move(due.schedule_id, due.tick, following, "refused", f"No job was made: {error}")
        return _FIRED if enqueued.created else _KNOWN

    def _refuse(self, due: _Due, following: int | None, reason: str) -> _Outcome:
        """Unless somebody else may know better."""
        now = asyncio.get_running_loop().time()
        if now - self._left.setdefault((due.schedule_id, due.tick), now) < UNKNOWN_SECONDS:
            return _LEFT
        return _Move(due.schedule_id, due.tick, following, "refused", f"No job was made: {reason}")

    async def _move(self, moves: Sequence[_Move]) -> list[_Move]:
        """Those that were still as they had been seen."""
        if not moves:
            return []
        items: list[Argument] = []
        for move in moves:
            items += (
                move.schedule_id,
                *("" if time is None else time for time in (move.tick, move.following)),
                move.error,
            )
        answers = await self._namespace.run("plan_schedules", {}, items)
        return [move for move, moved in zip(moves, answers, strict=True) if moved]


def _rows(flat: list[bytes], size: int) -> Iterator[tuple[bytes, ...]]:
    return zip(*(flat[start::size] for start in range(size)), strict=True)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _told(due: _Due, answer: _Outcome | Exception) -> _Outcome:
    if not isinstance(answer, Exception):
        return answer
    # A record with nonsense in it must not keep the others from their ticks. Without one it is looked at in rotation.
    log.error("schedule %s made no job", due.schedule_id, exc_info=answer, extra=UNQUOTED)
    return _Move(due.schedule_id, due.tick, None, "refused", "No job was made: the record of the schedule is damaged")


def _skipped_text(tick: int, now: int) -> str:
    when = datetime.fromtimestamp(tick // MICRO, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"The run of {when} was skipped: nobody was there for it until {(now - tick) // MICRO} s later"


def _repairs(others: Sequence[tuple[str, int | None, bytes]], now: int) -> Iterator[_Move]:
    for schedule_id, tick, text in others:
        try:
            rule = schedule_record.load_rule(text)
            right = rule.first(now) if tick is None else rule.repaired(tick, now)
        except Unreadable:
            # Perhaps a newer version can read it.
            continue
        if right is not None:
            yield _Move(schedule_id, tick, right, "repaired")

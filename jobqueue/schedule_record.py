"""Schedules as values, and as the texts in which Redis keeps them: `rule` (when) and `template` (what), both JSON."""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any, Final

import orjson

from jobqueue.errors import InvalidSchedule
from jobqueue.job import NewJob
from jobqueue.recurrence import Recurrence

MOST_NAME_CHARACTERS: Final = 200

_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)
# All but what each job of a schedule has of its own.
_TEMPLATE: Final = tuple(field for field in fields(NewJob) if field.name not in ("job_id", "due", "schedule_id"))
_RULE: Final = fields(Recurrence)

RECORD_FIELDS: Final = (
    "rule", "template", "name", "created", "paused", "runs", "last_fired_at", "last_job_id", "error",
)  # fmt: skip


class Unreadable(ValueError):
    """The text of a schedule is damaged, or of a newer version than this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSchedule:
    """A schedule to create. `schedule_id`: a UUID in lower case. `job`: what each job is like, whose `job_id` is not
    used: each has its own.
    """

    schedule_id: str
    recurrence: Recurrence
    job: NewJob
    name: str = ""
    paused: bool = False

    def check(self, now: int) -> int:
        """The first tick after `now`. Raises InvalidSchedule with the name of the wrong field."""
        if not is_schedule_id(self.schedule_id):
            raise InvalidSchedule("schedule_id", "must be a UUID in lower case")
        if len(self.name) > MOST_NAME_CHARACTERS:
            raise InvalidSchedule("name", f"must be at most {MOST_NAME_CHARACTERS} characters")
        if self.job.due is not None:
            raise InvalidSchedule("job", "must have no due time of its own")
        return self.recurrence.check(now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """What a reader sees of a schedule; unix microseconds. `next_run_at`: None while paused, or when it never comes.
    `runs` counts the jobs that ticks made. `error`: why the last tick made no job, None when it did.
    """

    schedule_id: str
    name: str
    recurrence: Recurrence
    job: NewJob
    paused: bool
    created_at: int
    next_run_at: int | None
    last_run_at: int | None
    last_job_id: str | None
    runs: int
    error: str | None


def is_schedule_id(text: str) -> bool:
    """Anything else never becomes a part of a key."""
    return _ID.fullmatch(text) is not None


def dump_rule(recurrence: Recurrence) -> bytes:
    return _dump(recurrence, _RULE)


def dump_template(job: NewJob) -> bytes:
    """Raises TypeError when an argument is not JSON-able."""
    return _dump(job, _TEMPLATE)


def load_rule(text: bytes) -> Recurrence:
    """Raises Unreadable, also for what can be read but makes no sense here."""
    try:
        recurrence = Recurrence(**_load(text, _RULE))
        recurrence.check_form()
    except (InvalidSchedule, TypeError) as error:
        raise Unreadable(str(error)) from None
    return recurrence


def load_template(text: bytes, job_id: str) -> NewJob:
    """The job with this id that a schedule makes. Raises Unreadable."""
    return _job(_load(text, _TEMPLATE), job_id)


def digest(new: NewSchedule, rule: bytes, template: bytes) -> str:
    """Tells whether a schedule under a known id is the same one. Not secret; collisions must only be unlikely."""
    said = orjson.dumps([new.name, new.paused])
    return hashlib.blake2b(b"\n".join((said, rule, template)), digest_size=12).hexdigest()


def load(schedule_id: str, row: list[bytes | None], tick: bytes | None) -> Schedule | None:
    """To be shown, as far as this version understands it: from the values of RECORD_FIELDS and the score of its tick.

    None: there is none. Raises Unreadable.
    """
    if row[0] is None or row[1] is None:
        return None
    f = {name: value.decode("utf-8", "replace") for name, value in zip(RECORD_FIELDS, row, strict=True) if value}
    try:
        return Schedule(
            schedule_id=schedule_id,
            name=f.get("name", ""),
            recurrence=Recurrence(**_load(row[0], _RULE, strict=False)),
            job=_job(_load(row[1], _TEMPLATE, strict=False), ""),
            paused="paused" in f,
            created_at=int(f.get("created", 0)),
            next_run_at=_time(tick) if "paused" not in f else None,
            last_run_at=int(f["last_fired_at"]) if "last_fired_at" in f else None,
            last_job_id=f.get("last_job_id"),
            runs=int(f.get("runs", 0)),
            error=f.get("error"),
        )
    except ValueError as error:
        raise Unreadable(f"the record of schedule {schedule_id} is damaged: {error}") from None


def _time(score: bytes | None) -> int | None:
    return int(float(score)) if score is not None and math.isfinite(float(score)) else None


def _job(values: dict[str, Any], job_id: str) -> NewJob:
    if not isinstance(values.get("function"), str):
        raise Unreadable("it calls no function")
    return NewJob(job_id=job_id, **values)


def _dump(value: Any, known: tuple[Field[Any], ...]) -> bytes:
    """Without defaults: so it looks the same when a newer version knows of more."""
    given = {field.name: getattr(value, field.name) for field in known}
    return orjson.dumps({field.name: given[field.name] for field in known if given[field.name] != _default(field)})


def _default(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


def _load(text: bytes, known: tuple[Field[Any], ...], *, strict: bool = True) -> dict[str, Any]:
    """Raises Unreadable. `strict`: also for a field that this version does not know."""
    try:
        values = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Unreadable(f"not JSON: {error}") from None
    if not isinstance(values, dict):
        raise Unreadable("not a JSON object")
    unknown = values.keys() - {field.name for field in known}
    if unknown and strict:
        # Leaving out what a newer version has written would make another job than the one that was asked for.
        raise Unreadable(f"unknown field {min(unknown)}")
    return {name: value for name, value in values.items() if name not in unknown}

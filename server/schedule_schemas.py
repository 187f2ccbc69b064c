"""Schedules as the API reads and writes them. Pure functions."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from jobqueue import NewSchedule, Recurrence, Schedule, Settings
from jobqueue.job import JOB_TYPE_FUNCTION, NewJob
from jobqueue.recurrence import MOST_CRON_CHARACTERS, MOST_INTERVAL_SECONDS, Missed
from jobqueue.schedule_record import MOST_NAME_CHARACTERS, is_schedule_id
from server import times
from server.schemas import JobOptions, job_of


def _schedule_id(text: str) -> str:
    if not is_schedule_id(text.lower()):
        raise ValueError("must be a UUID")
    return text.lower()


class ScheduleBody(JobOptions):
    """`cron` or `interval_seconds`: the library says what is wrong with them."""

    cron: Annotated[str, Field(max_length=MOST_CRON_CHARACTERS)] | None = None
    interval_seconds: Annotated[int, Field(ge=1, le=MOST_INTERVAL_SECONDS)] | None = None
    timezone: str | None = None
    missed: Missed | None = None
    schedule_id: Annotated[str, AfterValidator(_schedule_id)] | None = None
    name: Annotated[str, Field(max_length=MOST_NAME_CHARACTERS)] | None = None
    paused: bool | None = None


def new_schedule(settings: Settings, body: ScheduleBody, parameters: dict[str, Any], schedule_id: str) -> NewSchedule:
    """The job type must be known. `schedule_id`: for a body without one."""
    return NewSchedule(
        schedule_id=body.schedule_id or schedule_id,
        recurrence=Recurrence(
            cron=body.cron,
            interval_seconds=body.interval_seconds,
            timezone="UTC" if body.timezone is None else body.timezone,
            missed=body.missed or "skip",
        ),
        job=job_of(settings, body, parameters, job_id=""),
        name=body.name or "",
        paused=bool(body.paused),
    )


def schedule_json(schedule: Schedule) -> dict[str, Any]:
    """Options of the job are shown as they were when the schedule was made: given, or configured then."""
    rule, job = schedule.recurrence, schedule.job
    return {
        "schedule_id": schedule.schedule_id,
        "name": schedule.name,
        "job_type": job.job_type or job.function,
        "parameters": _parameters(job),
        "user_id": job.user_id,
        "priority": job.priority,
        "cron": rule.cron,
        "interval_seconds": rule.interval_seconds,
        "timezone": rule.timezone,
        "missed": rule.missed,
        "paused": schedule.paused,
        "next_run_at": times.to_text(schedule.next_run_at),
        "last_run_at": times.to_text(schedule.last_run_at),
        "last_job_id": schedule.last_job_id,
        "runs": schedule.runs,
        "error": schedule.error,
        "created_at": times.to_text(schedule.created_at),
        "timeout_seconds": job.timeout_seconds,
        "max_attempts": job.max_attempts,
        "backoff_seconds": job.backoff_seconds,
        "backoff_max_seconds": job.backoff_max_seconds,
        "unique_key": job.unique_key,
        "expires_in": job.expires_in,
    }


def _parameters(job: NewJob) -> Any:
    """None: a user of the library made the schedule, for a plain function."""
    return job.args[1] if job.function == JOB_TYPE_FUNCTION and len(job.args) == 2 else None

"""The bodies of the API: what requests may contain, and how jobs are written as JSON. Pure functions."""

from __future__ import annotations

import re
import uuid
from typing import Annotated, Any, Final, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from jobqueue import Cancelled, Enqueued, Job, JobChange, NewJob, Settings
from jobqueue.job import DEFAULT_USER, JOB_TYPE_FUNCTION, Priority
from server import times
from server.errors import InvalidParameterError
from server.parameters import problems_of

MOST_TIMEOUT_SECONDS: Final = 30 * 86400
MOST_IN_BULK: Final = 1000
USER_PATTERN: Final = r"^[A-Za-z0-9_.@-]{1,64}$"
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)


def _lower_uuid(text: str) -> str:
    if not _UUID.fullmatch(text):
        raise ValueError("must be a UUID")
    return text.lower()


def _known_time(text: str) -> str:
    times.parse(text)
    return text


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


Body = TypeVar("Body", bound=_Body)


class SubmitBody(_Body):
    job_type: str
    parameters: dict[str, Any] | None = None
    user_id: Annotated[str, Field(pattern=USER_PATTERN)] | None = None
    priority: Priority | None = None
    scheduled_time: Annotated[str, AfterValidator(_known_time)] | None = None
    job_id: Annotated[str, AfterValidator(_lower_uuid)] | None = None
    timeout_seconds: Annotated[int, Field(ge=1, le=MOST_TIMEOUT_SECONDS)] | None = None


class RestartBody(_Body):
    parameters: dict[str, Any]


class CancelBody(_Body):
    """No fields: those that somebody sends are refused, not ignored."""


class BulkSubmitBody(_Body):
    # Each is looked at by itself.
    jobs: Annotated[list[Any], Field(min_length=1, max_length=MOST_IN_BULK)]


class JobIdsBody(_Body):
    job_ids: Annotated[list[str], Field(min_length=1, max_length=MOST_IN_BULK)]


def parse(model: type[Body], value: Any) -> Body:
    """Raises InvalidParameterError."""
    if not isinstance(value, dict):
        raise InvalidParameterError([((), "must be a JSON object")])
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise InvalidParameterError(problems_of(error)) from None


def new_job(settings: Settings, body: SubmitBody, parameters: dict[str, Any]) -> NewJob:
    """The job type must be known."""
    job_type = settings.job_types[body.job_type]
    return NewJob(
        job_id=body.job_id or str(uuid.uuid4()),
        function=JOB_TYPE_FUNCTION,
        args=call_arguments(body.job_type, parameters),
        job_type=body.job_type,
        user_id=body.user_id or DEFAULT_USER,
        queue=settings.queue_of(body.job_type),
        priority=body.priority or "normal",
        due=None if body.scheduled_time is None else times.parse(body.scheduled_time),
        timeout_seconds=body.timeout_seconds or job_type.timeout_seconds,
        max_attempts=job_type.max_attempts,
        max_lost_attempts=job_type.max_lost_attempts,
        result_ttl=settings.retention.completed_seconds,
        failure_ttl=settings.retention.failed_seconds,
    )


def call_arguments(job_type: str, parameters: dict[str, Any]) -> list[Any]:
    return [job_type, parameters]


def submitted_json(enqueued: Enqueued) -> dict[str, Any]:
    message = "Job scheduled" if enqueued.state == "scheduled" else "Job submitted"
    return {"job_id": enqueued.job_id, "status": enqueued.state, "message": message}


def cancelled_json(cancelled: Cancelled) -> dict[str, Any]:
    message = "Job cancelled successfully" if cancelled.changed else "Job already cancelled"
    return {"job_id": cancelled.job_id, "status": "cancelled", "message": message}


def restarted_json(job_id: str) -> dict[str, Any]:
    return {"job_id": job_id, "status": "pending", "message": "Job restarted and re-queued"}


def job_json(job: Job) -> dict[str, Any]:
    return {
        "job_id": job.job_id,
        "job_type": job.job_type,
        "status": job.state,
        "progress": job.progress,
        "created_at": times.to_text(job.created_at),
        "started_at": times.to_text(job.started_at),
        "completed_at": times.to_text(job.ended_at),
        "error": job.error,
        "user_id": job.user_id,
        "metrics": {
            "execution_time_seconds": round(job.execution_seconds, 3),
            "items_processed": job.items_done,
            "total_items": job.items_total,
        },
        "current_step": job.step or None,
        "priority": job.priority,
        "scheduled_time": times.to_text(job.due_at),
        "attempt": job.attempt,
        "restarts": job.restarts,
        "queue": job.queue,
        "worker": job.worker,
    }


def result_json(job: Job) -> dict[str, Any]:
    return {"job_id": job.job_id, "status": job.state, "result": job.result, "error": job.error}


def update_json(change: JobChange) -> dict[str, Any]:
    return {
        "job_id": change.job_id,
        "status": change.state,
        # In an event a whole number comes without its point.
        "progress": float(change.progress),
        "current_step": change.step or None,
    }


def complete_json(change: JobChange, result: Any, error: str | None) -> dict[str, Any]:
    return {**update_json(change), "result": result, "error": error}

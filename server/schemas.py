"""What the bodies of requests may contain, and the job that a submission asks for. Pure functions."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Final, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from jobqueue import NewJob, Settings
from jobqueue.job import DEFAULT_USER, JOB_TYPE_FUNCTION, OnFailure, Priority
from jobqueue.keys import is_job_id
from server import times
from server.errors import InvalidParameterError, Problem
from server.parameters import problems_of

MOST_TIMEOUT_SECONDS: Final = 30 * 86400
MOST_IN_BULK: Final = 1000
MOST_ATTEMPTS: Final = 100
MOST_BACKOFF_SECONDS: Final = 7 * 86400
MOST_DELAY_SECONDS: Final = 366 * 86400
MOST_DEPENDENCIES: Final = 100
MOST_LIMIT: Final = 1_000_000
# Visible ASCII, as for an Idempotency-Key.
KEY_PATTERN: Final = r"^[!-~]{1,255}$"
USER_PATTERN: Final = r"^[A-Za-z0-9_.@-]{1,64}$"
UserId = Annotated[str, Field(pattern=USER_PATTERN)]
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


class JobOptions(_Body):
    """What a job is, whether it is submitted now or made by a schedule later. None: as configured for its type."""

    job_type: str
    parameters: dict[str, Any] | None = None
    user_id: UserId | None = None
    priority: Priority | None = None
    timeout_seconds: Annotated[int, Field(ge=1, le=MOST_TIMEOUT_SECONDS)] | None = None
    max_attempts: Annotated[int, Field(ge=1, le=MOST_ATTEMPTS)] | None = None
    backoff_seconds: Annotated[float, Field(ge=0, le=MOST_BACKOFF_SECONDS)] | None = None
    backoff_max_seconds: Annotated[float, Field(ge=0, le=MOST_BACKOFF_SECONDS)] | None = None
    unique_key: Annotated[str, Field(pattern=KEY_PATTERN)] | None = None
    expires_in: Annotated[int, Field(ge=1, le=MOST_DELAY_SECONDS)] | None = None


class SubmitBody(JobOptions):
    scheduled_time: Annotated[str, AfterValidator(_known_time)] | None = None
    delay_seconds: Annotated[float, Field(ge=0, le=MOST_DELAY_SECONDS)] | None = None
    job_id: Annotated[str, AfterValidator(_lower_uuid)] | None = None
    depends_on: Annotated[list[str], Field(max_length=MOST_DEPENDENCIES)] | None = None
    on_failure: OnFailure | None = None


def contradictions(body: SubmitBody) -> Iterator[Problem]:
    """What each field by itself does not tell, and can be told before the parameters are known."""
    if body.scheduled_time is not None and body.delay_seconds is not None:
        yield ("delay_seconds",), "give scheduled_time or delay_seconds, not both"
    if body.job_id is not None and body.job_id in _normalised(body.depends_on):
        yield ("depends_on",), "the job cannot depend on itself"
    for index, job_id in enumerate(body.depends_on or ()):
        if not is_job_id(job_id):
            yield ("depends_on", index), "is no id of a job"
    yield from backoff_problems(body)


def backoff_problems(options: JobOptions) -> Iterator[Problem]:
    first, most = options.backoff_seconds, options.backoff_max_seconds
    if first is not None and most is not None and most < first:
        yield ("backoff_max_seconds",), "must not be less than backoff_seconds"


def _normalised(job_ids: Sequence[str] | None) -> list[str]:
    """Our own ids are lower case; those of stock producers are as they are. Repeated ones are left to the queue, which
    takes each once, so that its refusal finds the place in the body.
    """
    return [job_id.lower() if _UUID.fullmatch(job_id) else job_id for job_id in job_ids or ()]


class RestartBody(_Body):
    parameters: dict[str, Any]


class CancelBody(_Body):
    """No fields: those that somebody sends are refused, not ignored."""


class BulkSubmitBody(_Body):
    # Each is looked at by itself.
    jobs: Annotated[list[Any], Field(min_length=1, max_length=MOST_IN_BULK)]


class PipelineBody(_Body):
    """`documents` as in document_processing; then parameters of each stage, without those that join the stages.

    `taxonomy`: a hand-written one, or a source of one; then there is no stage that makes one.
    """

    documents: list[Any]
    user_id: UserId | None = None
    priority: Priority | None = None
    scheduled_time: Annotated[str, AfterValidator(_known_time)] | None = None
    delay_seconds: Annotated[float, Field(ge=0, le=MOST_DELAY_SECONDS)] | None = None
    project_id: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    name: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    document_processing: dict[str, Any] | None = None
    taxonomy_processing: dict[str, Any] | None = None
    extraction: dict[str, Any] | None = None
    dataset_generation: dict[str, Any] | None = None
    taxonomy: dict[str, Any] | None = None


class FilterBody(_Body):
    """Words as in the query of the list; at least one."""

    status: str | None = None
    type: str | None = None
    user: str | None = None


class BulkChangeBody(_Body):
    """Either `job_ids` or `filter`."""

    job_ids: Annotated[list[str], Field(min_length=1, max_length=MOST_IN_BULK)] | None = None
    filter: FilterBody | None = None
    dry_run: bool = False
    cursor: str | None = None


def _at_least_one(limit: int) -> int:
    if limit < 1:
        raise ValueError("must be at least 1; what shall not start at all is paused")
    return limit


LimitValue = Annotated[int, Field(le=MOST_LIMIT), AfterValidator(_at_least_one)] | None


class LimitsBody(_Body):
    """What is not named stays as it is; null takes back what was set."""

    global_: LimitValue = Field(None, alias="global")
    per_user: LimitValue = None
    users: Annotated[dict[UserId, LimitValue], Field(max_length=MOST_IN_BULK)] = {}
    types: Annotated[dict[str, LimitValue], Field(max_length=MOST_IN_BULK)] = {}


class PauseBody(_Body):
    """Nothing: everything; else one of the two."""

    user_id: UserId | None = None
    job_type: str | None = None


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
    job = job_of(settings, body, parameters, job_id=body.job_id or str(uuid.uuid4()))
    job.due = None if body.scheduled_time is None else times.parse(body.scheduled_time)
    job.delay_seconds = body.delay_seconds
    job.depends_on = _normalised(body.depends_on)
    job.on_failure = body.on_failure or "cancel"
    return job


def job_of(settings: Settings, options: JobOptions, parameters: dict[str, Any], *, job_id: str) -> NewJob:
    """The job type must be known."""
    kind = settings.job_types[options.job_type]
    return NewJob(
        job_id=job_id,
        function=JOB_TYPE_FUNCTION,
        args=call_arguments(options.job_type, parameters),
        job_type=options.job_type,
        user_id=options.user_id or DEFAULT_USER,
        queue=settings.queue_of(options.job_type),
        priority=options.priority or "normal",
        timeout_seconds=options.timeout_seconds or kind.timeout_seconds,
        max_attempts=options.max_attempts or kind.max_attempts,
        max_lost_attempts=kind.max_lost_attempts,
        backoff_seconds=_given(options.backoff_seconds, kind.backoff_seconds),
        backoff_max_seconds=_given(options.backoff_max_seconds, kind.backoff_max_seconds),
        result_ttl=settings.retention.completed_seconds,
        failure_ttl=settings.retention.failed_seconds,
        unique_key=options.unique_key,
        expires_in=options.expires_in,
    )


def _given(value: float | None, default: float) -> float:
    return default if value is None else value


def call_arguments(job_type: str, parameters: dict[str, Any]) -> list[Any]:
    return [job_type, parameters]

"""Every answer of the API that is not a success. The class names and status codes are part of the API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from jobqueue import NewJob
from jobqueue.errors import DependencyEnded, UniqueKeyTaken, WrongState
from jobqueue.producer import Refusal

RETRY_AFTER: Final = {"Retry-After": "2"}
SHOWN_CHARACTERS: Final = 64
# A body can be wrong in a hundred thousand places; nobody needs more than the first of them.
MOST_DETAILS: Final = 100

# Where in the input, and what is wrong there.
Problem = tuple[tuple[str | int, ...], str]


def shown(text: str) -> str:
    """Foreign text as it may be repeated in an answer or a log line."""
    return "".join(character for character in text if character.isprintable())[:SHOWN_CHARACTERS]


def _shown_loc(loc: Sequence[str | int]) -> list[str | int]:
    return [shown(part) if isinstance(part, str) else part for part in loc]


class ApiError(Exception):
    """`context`: further fields of the body. The message goes to the client as it is."""

    status: int = 500

    def __init__(
        self, message: str, *, context: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.context = dict(context or {})
        self.headers = dict(headers or {})

    @property
    def body(self) -> dict[str, Any]:
        return {"error": type(self).__name__, "message": self.message, **self.context}


class JobNotFoundError(ApiError):
    status = 404

    def __init__(self, job_id: str) -> None:
        super().__init__(f"Job {shown(job_id)} not found", context={"job_id": shown(job_id)})


class UploadNotFoundError(ApiError):
    status = 404

    def __init__(self, file_id: str) -> None:
        super().__init__(f"File {shown(file_id)} not found", context={"file_id": shown(file_id)})


class ResultFileNotFoundError(ApiError):
    status = 404

    def __init__(self, job_id: str, name: str) -> None:
        super().__init__(f"Job {job_id} has no file {shown(name)}", context={"job_id": job_id, "name": shown(name)})


class ScheduleNotFoundError(ApiError):
    status = 404

    def __init__(self, schedule_id: str) -> None:
        super().__init__(f"Schedule {shown(schedule_id)} not found", context={"schedule_id": shown(schedule_id)})


class ScheduleConflictError(ApiError):
    status = 409

    def __init__(self, schedule_id: str) -> None:
        super().__init__("A schedule with this id but other content exists", context={"schedule_id": schedule_id})


class JobAlreadyCompletedError(ApiError):
    status = 409

    def __init__(self, verb: str, job_id: str, current: str) -> None:
        context = {"job_id": job_id, "current_status": current}
        super().__init__(f"Cannot {verb} job that is already {current}", context=context)


class JobNotRestartableError(ApiError):
    status = 409

    def __init__(self, job_id: str, current: str) -> None:
        context = {"job_id": job_id, "current_status": current}
        super().__init__(f"Cannot restart job that is {current}", context=context)


class DependencyEndedError(ApiError):
    status = 409

    def __init__(self, job_id: str, parent: str, state: str) -> None:
        message = f"Cannot restart job: job {parent}, which it depends on, is {state}; restart that first"
        super().__init__(message, context={"job_id": job_id, "dependency": parent, "dependency_status": state})


class UniqueKeyTakenError(ApiError):
    status = 409

    def __init__(self, job_id: str, holder: str) -> None:
        message = f"Cannot restart job: job {holder} is live under the same unique_key"
        super().__init__(message, context={"job_id": job_id, "live_job_id": holder})


def dependency_not_found(job: NewJob, parent: str) -> ApiError:
    index = list(job.depends_on).index(parent) if parent in job.depends_on else 0
    return InvalidParameterError([(("depends_on", index), f"there is no job {shown(parent)}")])


def cancel_refused(job_id: str, refusal: Refusal) -> ApiError:
    if isinstance(refusal, WrongState):
        return JobAlreadyCompletedError("cancel", job_id, refusal.current)
    return JobNotFoundError(job_id)


def restart_refused(job_id: str, refusal: Refusal) -> ApiError:
    match refusal:
        case UniqueKeyTaken():
            return UniqueKeyTakenError(job_id, refusal.job_id)
        case DependencyEnded():
            return DependencyEndedError(job_id, refusal.job_id, refusal.state)
        case WrongState() if refusal.current == "completed":
            return JobAlreadyCompletedError("restart", job_id, refusal.current)
        case WrongState():
            return JobNotRestartableError(job_id, refusal.current)
    return JobNotFoundError(job_id)


class JobNotFinishedError(ApiError):
    status = 409

    def __init__(self, job_id: str, current: str, message: str | None = None) -> None:
        context = {"job_id": job_id, "current_status": current}
        super().__init__(message or f"Job has no result yet: it is {current}", context=context)


class WorkerNotFoundError(ApiError):
    status = 404

    def __init__(self, worker: str) -> None:
        super().__init__(f"Worker {shown(worker)} not found", context={"worker": shown(worker)})


class InvalidParameterError(ApiError):
    status = 400

    def __init__(self, problems: Sequence[Problem], *, context: Mapping[str, Any] | None = None) -> None:
        details = [{"loc": _shown_loc(loc), "msg": msg} for loc, msg in problems[:MOST_DETAILS]]
        loc, msg = problems[0]
        name = shown(".".join(str(part) for part in loc))
        message = f"Invalid value for {name}: {msg}" if name else msg
        super().__init__(message, context={"details": details, **(context or {})})


class SourceFailedError(ApiError):
    """A job that a new one reads from has ended without result."""

    status = 409

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(problems[0][1], context={"details": [{"loc": list(loc), "msg": msg} for loc, msg in problems]})


class UnknownJobTypeError(ApiError):
    status = 400

    def __init__(self, job_type: str, known: Sequence[str]) -> None:
        message = f"Unknown job type {shown(job_type)}; known types: {', '.join(known)}"
        details = [{"loc": ["job_type"], "msg": "unknown job type"}]
        super().__init__(message, context={"known_types": list(known), "details": details})


class InvalidJsonError(ApiError):
    status = 400

    def __init__(self, message: str) -> None:
        super().__init__(message, context={"details": [{"loc": [], "msg": message}]})


class IdempotencyConflictError(ApiError):
    """409 for a job's id, with `job_id`; 422 for an Idempotency-Key."""

    def __init__(self, job_id: str | None = None) -> None:
        if job_id is not None:
            self.status = 409
            super().__init__("A job with this id but other content exists", context={"job_id": job_id})
        else:
            self.status = 422
            super().__init__("This Idempotency-Key was used for a submission with other content")


class PayloadTooLargeError(ApiError):
    status = 413


class UploadQuotaError(PayloadTooLargeError):
    def __init__(self, quota: int) -> None:
        message = f"The files of this user would be more than {quota} bytes; delete some first, or let them expire"
        super().__init__(message, context={"quota_bytes": quota})


class RangeNotSatisfiableError(ApiError):
    status = 416

    def __init__(self, size: int) -> None:
        super().__init__(f"The file has {size} bytes", headers={"Content-Range": f"bytes */{size}"})


class PreconditionFailedError(ApiError):
    status = 412


class UnsupportedMediaTypeError(ApiError):
    status = 415


class RequestTimeoutError(ApiError):
    status = 408


class BadRequestError(ApiError):
    status = 400


class ForbiddenError(ApiError):
    status = 403


class RouteNotFoundError(ApiError):
    status = 404


class MethodNotAllowedError(ApiError):
    status = 405


class MisdirectedRequestError(ApiError):
    status = 421


class TooManyRequestsError(ApiError):
    status = 429

    def __init__(self, message: str) -> None:
        super().__init__(message, headers=RETRY_AFTER)


class QueueUnavailableError(ApiError):
    status = 503

    def __init__(self, message: str, *, context: Mapping[str, Any] | None = None) -> None:
        super().__init__(message, context=context, headers=RETRY_AFTER)


class StorageUnavailableError(ApiError):
    status = 503

    def __init__(self, message: str) -> None:
        super().__init__(message, headers=RETRY_AFTER)


class InternalServerError(ApiError):
    status = 500

    def __init__(self, error_id: str) -> None:
        super().__init__("An internal error; the log has more under this id", context={"error_id": error_id})

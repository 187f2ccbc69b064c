"""The only place that turns an exception into an answer."""

from __future__ import annotations

import logging
import uuid
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from jobqueue.errors import (
    DuplicateJob,
    DuplicateSchedule,
    InvalidSchedule,
    JobNotFound,
    OnceConflict,
    QueueFull,
    QueueStarting,
    QueueUnavailable,
    ScheduleNotFound,
)
from jobqueue.logs import UNQUOTED
from server import errors
from server.errors import ApiError
from server.responses import json_response

log = logging.getLogger(__name__)

# The rest of the body was not read, so the connection cannot be used again.
_CLOSING: Final = (errors.PayloadTooLargeError, errors.RequestTimeoutError, errors.UnsupportedMediaTypeError)


@web.middleware
async def error_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Exception as exception:  # noqa: BLE001
        error = explain(exception) or _unexpected(request)
        if request.writer.output_size:
            # A part of another answer is out already: the client must see a broken one.
            if request.transport is not None:
                request.transport.abort()
            # Not the exception itself: aiohttp would log its text, which may quote what nobody else may read.
            raise ConnectionResetError from None
        return answer(request, error)


def explain(exception: Exception) -> ApiError | None:
    match exception:
        case ApiError():
            return exception
        case JobNotFound():
            return errors.JobNotFoundError(exception.job_id)
        case DuplicateJob():
            return errors.IdempotencyConflictError(exception.job_id)
        case OnceConflict():
            return errors.IdempotencyConflictError()
        case InvalidSchedule():
            return errors.InvalidParameterError([((exception.field,), str(exception))])
        case ScheduleNotFound():
            return errors.ScheduleNotFoundError(exception.schedule_id)
        case DuplicateSchedule():
            return errors.ScheduleConflictError(exception.schedule_id)
        case QueueStarting():
            return errors.QueueUnavailableError("The queue is starting")
        case QueueUnavailable():
            return errors.QueueUnavailableError("The queue is not available now")
        case QueueFull():
            return errors.QueueUnavailableError("The queue is full and takes no jobs now")
        case web.HTTPException():
            return _explain_http(exception)
    return None


def _explain_http(exception: web.HTTPException) -> ApiError | None:
    match exception:
        case web.HTTPNotFound():
            return errors.RouteNotFoundError("There is no such route")
        case web.HTTPMethodNotAllowed():
            allowed = {"Allow": exception.headers["Allow"]}
            return errors.MethodNotAllowedError(f"Use {allowed['Allow']} here", headers=allowed)
        case web.HTTPRequestEntityTooLarge():
            return errors.PayloadTooLargeError("The body is too large")
    return errors.BadRequestError("The request is not understood") if exception.status < 500 else None


def _unexpected(request: web.Request) -> ApiError:
    error = errors.InternalServerError(uuid.uuid4().hex[:12])
    fields = {"method": request.method, "route": _route(request)}
    log.exception("a request failed, error_id=%s", error.context["error_id"], extra={**UNQUOTED, **fields})
    return error


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "?"


def answer(request: web.Request, error: ApiError) -> web.Response:
    for kind in ("job_id", "schedule_id", "file_id"):
        if (named := request.match_info.get(kind)) is not None:
            error.context.setdefault(kind, errors.shown(named))
    response = json_response(error.body, status=error.status, headers=error.headers)
    if isinstance(error, _CLOSING):
        response.force_close()
    return response

"""What a request makes of the jobs that it submits: checked and completed, or refused each by itself."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Sequence
from typing import Any

from jobqueue import NewJob, Settings
from jobqueue.errors import ConfigurationError
from server import schemas
from server.errors import ApiError, InternalServerError, InvalidParameterError
from server.parameters import check_parameters

log = logging.getLogger(__name__)


async def check(settings: Settings, value: Any) -> NewJob:
    """Raises InvalidParameterError, UnknownJobTypeError, PayloadTooLargeError."""
    body = schemas.parse(schemas.SubmitBody, value)
    if problems := list(schemas.contradictions(body)):
        raise InvalidParameterError(problems)
    parameters = await check_parameters(settings, body.job_type, body.parameters or {})
    return schemas.new_job(settings, body, parameters)


async def check_all(settings: Settings, values: Sequence[Any]) -> list[NewJob | ApiError]:
    checked = []
    for value in values:
        checked.append(await _check_one(settings, value))
        # A thousand checks in one go would keep everybody else waiting.
        await asyncio.sleep(0)
    return checked


async def _check_one(settings: Settings, value: Any) -> NewJob | ApiError:
    try:
        return await check(settings, value)
    except ApiError as refusal:
        return refusal
    except ConfigurationError:
        error_id = uuid.uuid4().hex[:12]
        log.exception("a submitted job could not be checked, error_id=%s", error_id)
        return InternalServerError(error_id)

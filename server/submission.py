"""What a request makes of the jobs that it submits: checked and completed, or refused each by itself."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from jobqueue import NewJob, Settings
from jobqueue.errors import ConfigurationError
from server import schemas
from server.errors import ApiError, InternalServerError, InvalidParameterError
from server.parameters import CheckedParameters, NamedFile, SourceJob, check_parameters

log = logging.getLogger(__name__)

WITHOUT_PARENTS: Final = "is for jobs that depend on others, by depends_on or by their source"


@dataclass(slots=True)
class Draft:
    """A job that is right by itself. What it names was not looked at yet: earlier jobs, which it depends on already,
    and files. `is_named`: the caller chose its id, so that it may have been submitted before.
    """

    job: NewJob
    sources: Sequence[SourceJob] = ()
    files: Sequence[NamedFile] = ()
    is_named: bool = False

    @classmethod
    def of(cls, job: NewJob, checked: CheckedParameters, *, is_named: bool = False) -> Draft:
        """Whatever has become of its sources, so that the same submission is the same job later, too."""
        if checked.source_jobs:
            job.depends_on = list(dict.fromkeys([*job.depends_on, *(source.job_id for source in checked.source_jobs)]))
        return cls(job, checked.source_jobs, checked.files, is_named)


Checked = Draft | ApiError


async def check(settings: Settings, value: Any) -> Draft:
    """Raises InvalidParameterError, UnknownJobTypeError, PayloadTooLargeError."""
    return await check_body(settings, schemas.parse(schemas.SubmitBody, value))


async def check_body(settings: Settings, body: schemas.SubmitBody) -> Draft:
    """Raises as `check`."""
    if problems := list(schemas.contradictions(body)):
        raise InvalidParameterError(problems)
    checked = await check_parameters(settings, body.job_type, body.parameters or {})
    if body.on_failure is not None and not (body.depends_on or checked.source_jobs):
        raise InvalidParameterError([(("on_failure",), WITHOUT_PARENTS)])
    job = schemas.new_job(settings, body, checked.values)
    return Draft.of(job, checked, is_named=body.job_id is not None)


async def check_all(settings: Settings, values: Sequence[Any]) -> list[Checked]:
    checked = []
    for value in values:
        checked.append(await _check_one(settings, value))
        # A thousand checks in one go would keep everybody else waiting.
        await asyncio.sleep(0)
    return checked


async def _check_one(settings: Settings, value: Any) -> Checked:
    try:
        return await check(settings, value)
    except ApiError as refusal:
        return refusal
    except ConfigurationError:
        error_id = uuid.uuid4().hex[:12]
        log.exception("a submitted job could not be checked, error_id=%s", error_id)
        return InternalServerError(error_id)

"""Checks a job's parameters with the model that the configuration names for its type.

Models are named as text and imported when first needed: the server knows nothing of the worker's code.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from pydantic import BaseModel, ValidationError

from jobqueue import Settings
from jobqueue.errors import ConfigurationError
from server.errors import InvalidParameterError, PayloadTooLargeError, Problem, UnknownJobTypeError

Location = tuple[str | int, ...]


class SourceJob(NamedTuple):
    """An earlier job that is read from. `location`: in the parameters; `job_types`: of which it must be one."""

    location: Location
    job_id: str
    job_types: tuple[str, ...]


class NamedFile(NamedTuple):
    """An uploaded file that is read. `location`: in the parameters."""

    location: Location
    file_id: str


@dataclass(frozen=True, slots=True)
class CheckedParameters:
    """`values`: as the job gets them. What else they name is there only as a model may have the properties
    `source_jobs` and `file_ids`, tuples of the two kinds above.
    """

    values: dict[str, Any]
    source_jobs: tuple[SourceJob, ...] = ()
    files: tuple[NamedFile, ...] = ()


async def check_parameters(settings: Settings, job_type: str, parameters: dict[str, Any]) -> CheckedParameters:
    """Raises UnknownJobTypeError, InvalidParameterError, PayloadTooLargeError."""
    known = settings.job_types.get(job_type)
    if known is None:
        raise UnknownJobTypeError(job_type, sorted(settings.job_types))
    model = _validate(load_model(known.parameters), parameters, settings.server.max_parameters_bytes)
    check_llm = getattr(model, "check_llm", None)
    if check_llm is not None:
        _refuse(check_llm(settings.llm.base_urls))
    check_urls = getattr(model, "check_urls", None)
    if check_urls is not None:
        _refuse(check_urls(settings.documents.urls, settings.documents.url_origins))
    check_inputs = getattr(model, "check_inputs", None)
    # A thread costs more than all the rest; most jobs that name no file need none.
    if check_inputs is not None and getattr(model, "names_files", True):
        await _check_inputs(check_inputs, settings.storage.input_root)
    return CheckedParameters(
        model.model_dump(mode="json", exclude_unset=True),
        tuple(SourceJob(*each) for each in getattr(model, "source_jobs", ())),
        tuple(NamedFile(*each) for each in getattr(model, "file_ids", ())),
    )


@functools.cache
def load_model(dotted: str) -> type[BaseModel]:
    """Raises ConfigurationError when the configuration names something else than a model."""
    module, _, name = dotted.partition(":")
    try:
        model = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"parameters model {dotted} cannot be imported: {error}") from error
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise ConfigurationError(f"{dotted} is not a pydantic model")
    return model


def _validate(model: type[BaseModel], parameters: dict[str, Any], most_bytes: int) -> BaseModel:
    text = orjson.dumps(parameters)
    if len(text) > most_bytes:
        raise PayloadTooLargeError(f"The parameters are larger than {most_bytes} bytes; name a file instead")
    try:
        # As JSON, so that strict models still take texts for paths and lists for tuples.
        return model.model_validate_json(text)
    except ValidationError as error:
        raise InvalidParameterError(problems_of(error, "parameters")) from None


async def _check_inputs(check_inputs: Any, input_root: Path) -> None:
    _refuse(await asyncio.to_thread(check_inputs, input_root))


def _refuse(problems: list[Problem]) -> None:
    if problems:
        raise InvalidParameterError([(("parameters", *loc), msg) for loc, msg in problems])


def problems_of(error: ValidationError, *prefix: str) -> list[Problem]:
    mistakes = error.errors(include_url=False, include_context=False, include_input=False)
    return [((*prefix, *mistake["loc"]), mistake["msg"].removeprefix("Value error, ")) for mistake in mistakes]

"""The whole chain in one request: documents, taxonomy, extraction, dataset; each reads what those before it left."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Final

from jobqueue import Settings
from jobqueue.job import DEFAULT_USER
from server.errors import ApiError, InvalidParameterError, Problem
from server.parameters import load_model
from server.schemas import PipelineBody, SubmitBody, contradictions
from server.submission import Draft, check_body

DOCUMENTS: Final = "document_processing"
TAXONOMY: Final = "taxonomy_processing"
EXTRACTION: Final = "extraction"
DATASET: Final = "dataset_generation"
# What joins the stages: filled in here.
JOINTS: Final[Mapping[str, tuple[str, ...]]] = {
    DOCUMENTS: ("documents",),
    TAXONOMY: ("source",),
    EXTRACTION: ("source", "taxonomy"),
    DATASET: ("source", "taxonomy"),
}
LABELS: Final = ("project_id", "name")
# One of these alone is where a taxonomy is, as for the stages; anything else is the taxonomy itself.
SOURCE_KEYS: Final = ("job_id", "path", "taxonomy")


async def plan(settings: Settings, body: PipelineBody, once: str | None) -> dict[str, Draft]:
    """The jobs by stage, in order, right by themselves. `once`: makes the ids the same each time.

    Raises InvalidParameterError with what is wrong in all stages, UnknownJobTypeError, PayloadTooLargeError.
    """
    problems = list(_contradictions(body))
    ids = _ids(body, once)
    drafts: dict[str, Draft] = {}
    for stage, parameters in _parameters(body, ids):
        labels = _labels(settings, stage, body, parameters)
        wanted = _body(body, stage, {**labels, **parameters}, ids, before=list(drafts))
        try:
            drafts[stage] = await check_body(settings, wanted)
        except InvalidParameterError as refusal:
            problems += [_relocated(stage, each["loc"], each["msg"], body) for each in refusal.context["details"]]
    if problems:
        # Two stages read the taxonomy.
        raise InvalidParameterError(list(dict.fromkeys(problems)))
    return drafts


def relocated(stage: str, refusal: ApiError) -> ApiError:
    """In terms of the pipeline's body, if it names places in parameters."""
    details = refusal.context.get("details", [])
    for detail in details:
        detail["loc"] = list(_relocated(stage, detail["loc"], "")[0])
    if isinstance(refusal, InvalidParameterError) and details:
        return InvalidParameterError([(tuple(detail["loc"]), detail["msg"]) for detail in details])
    return refusal


def _contradictions(body: PipelineBody) -> Iterator[Problem]:
    if body.taxonomy is not None and body.taxonomy_processing is not None:
        yield ("taxonomy",), "give taxonomy or taxonomy_processing, not both"
    for stage, names in JOINTS.items():
        for name in names:
            if name in (getattr(body, stage) or {}):
                yield (stage, name), "is filled in by the server"
    first = SubmitBody(job_type=DOCUMENTS, scheduled_time=body.scheduled_time, delay_seconds=body.delay_seconds)
    yield from contradictions(first)


def _parameters(body: PipelineBody, ids: Mapping[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield DOCUMENTS, {**(body.document_processing or {}), "documents": body.documents}
    if body.taxonomy is None:
        yield TAXONOMY, {**(body.taxonomy_processing or {}), "source": {"job_id": ids[DOCUMENTS]}}
    taxonomy = {"job_id": ids[TAXONOMY]} if body.taxonomy is None else _source_of(body.taxonomy)
    yield EXTRACTION, {**(body.extraction or {}), "source": {"job_id": ids[DOCUMENTS]}, "taxonomy": taxonomy}
    yield DATASET, {**(body.dataset_generation or {}), "source": {"job_id": ids[EXTRACTION]}, "taxonomy": taxonomy}


def _source_of(taxonomy: dict[str, Any]) -> dict[str, Any]:
    return taxonomy if len(taxonomy) == 1 and next(iter(taxonomy)) in SOURCE_KEYS else {"taxonomy": taxonomy}


def _labels(settings: Settings, stage: str, body: PipelineBody, given: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the pipeline that the stage has a parameter for, unless it has its own."""
    kind = settings.job_types.get(stage)
    known = {} if kind is None else load_model(kind.parameters).model_fields
    labels = {name: getattr(body, name) for name in LABELS if name in known and name not in given}
    return {name: value for name, value in labels.items() if value is not None}


def _body(
    body: PipelineBody, stage: str, parameters: dict[str, Any], ids: Mapping[str, str], *, before: list[str]
) -> SubmitBody:
    """Each job depends on all before it, so that one look finds the whole chain. Only the first waits for a time."""
    is_first = stage == DOCUMENTS
    return SubmitBody(
        job_type=stage,
        parameters=parameters,
        user_id=body.user_id,
        priority=body.priority,
        scheduled_time=body.scheduled_time if is_first else None,
        delay_seconds=body.delay_seconds if is_first and body.scheduled_time is None else None,
        job_id=ids[stage],
        depends_on=[ids[earlier] for earlier in before],
    )


def _ids(body: PipelineBody, once: str | None) -> dict[str, str]:
    return {stage: str(uuid.uuid4() if once is None else _id_for(body, once, stage)) for stage in JOINTS}


def _id_for(body: PipelineBody, once: str, stage: str) -> uuid.UUID:
    user = body.user_id or DEFAULT_USER
    said = f"pipeline|{len(user)}|{user}|{stage}|{once}".encode()
    return uuid.UUID(bytes=hashlib.blake2b(said, digest_size=16).digest(), version=4)


def _relocated(
    stage: str, loc: list[str | int] | tuple[str | int, ...], msg: str, body: PipelineBody | None = None
) -> Problem:
    """`parameters.X` of a stage is `STAGE.X` of the body, but for what stands at the top."""
    if not loc or loc[0] != "parameters":
        return tuple(loc), msg
    rest = tuple(loc[1:])
    if stage == DOCUMENTS and rest[:1] == ("documents",):
        return rest, msg
    if rest[:1] == ("taxonomy",):
        is_wrapped = body is not None and body.taxonomy is not None and _source_of(body.taxonomy) != body.taxonomy
        return ("taxonomy", *rest[2 if is_wrapped else 1 :]), msg
    return (stage, *rest), msg

"""Which artefacts of which jobs the dataset is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from worker.context import JobContext, PermanentError
from worker.jobs.dataset_generation.parameters import NO_EXTRACTIONS, Parameters
from worker.jobs.dataset_generation.sources import JOB_TYPES, DatasetSource, DataSource
from worker.jobs.shared.reading import manifest_of
from worker.jobs.shared.source import AssignmentsSource, ChunksSource, ExtractionsSource, Source


class Plan(NamedTuple):
    """`kind`: what records are made of; at most one of `extractions` and `assignments`, at least one of all three."""

    kind: DataSource
    extractions: ExtractionsSource | None = None
    assignments: AssignmentsSource | None = None
    chunks: ChunksSource | None = None

    @property
    def has_labels(self) -> bool:
        return self.extractions is not None or self.assignments is not None


def make_plan(ctx: JobContext, parameters: Parameters) -> Plan:
    """Raises PermanentError `source_failed`, `source_wrong_type`, `labels_required` or `chunks_required`."""
    plan = _with_chunks(ctx, _with_assignments(_parts(ctx, parameters), parameters))
    field = parameters.needs_labels
    if field is not None and not plan.has_labels:
        raise PermanentError("labels_required", parameters.labels_required(field))
    if plan.extractions is None and plan.chunks is None:
        message = "The chunks came with the request of the taxonomy job and were not kept; give them under 'chunks'."
        raise PermanentError("chunks_required", message)
    if parameters.only_validated and plan.extractions is None:
        raise PermanentError("labels_required", NO_EXTRACTIONS)
    return plan


def field_of(part: Source, parameters: Parameters) -> str:
    """The parameter that names a part of the plan."""
    for name, given in parameters.source.parts:
        if given is part:
            return f"source.{name}"
    taxonomy = parameters.taxonomy
    is_of_taxonomy = taxonomy is not None and isinstance(part, AssignmentsSource) and part.job_id == taxonomy.job_id
    return "taxonomy" if is_of_taxonomy and part.job_id is not None else "source"


def _parts(ctx: JobContext, parameters: Parameters) -> Plan:
    source, kind = parameters.source, parameters.data_source
    if source.job_id is not None:
        _, manifest = manifest_of(ctx, source.job_id, JOB_TYPES[kind])
        return _of_job(source, source.job_id, str(manifest["job_type"]))
    if source.path is not None:
        return _of_file(source, source.path, kind)
    if kind == "chunks":
        return Plan("chunks", chunks=source.chunks)
    found: DataSource = "extract" if source.extractions else "taxonomy" if source.assignments else "chunks"
    return Plan(found, source.extractions, source.assignments, source.chunks)


def _of_job(source: DatasetSource, job_id: str, job_type: str) -> Plan:
    if job_type in ExtractionsSource.job_types:
        return Plan("extract", extractions=ExtractionsSource(job_id=job_id), chunks=source.chunks)
    if job_type in AssignmentsSource.job_types:
        return Plan("taxonomy", assignments=AssignmentsSource(job_id=job_id), chunks=source.chunks)
    return Plan("chunks", chunks=ChunksSource(job_id=job_id))


def _of_file(source: DatasetSource, path: str, kind: DataSource | None) -> Plan:
    if kind == "extract":
        return Plan("extract", extractions=ExtractionsSource(path=path), chunks=source.chunks)
    if kind == "taxonomy" and source.chunks is not None:
        return Plan("taxonomy", assignments=AssignmentsSource(path=path), chunks=source.chunks)
    return Plan("chunks", chunks=ChunksSource(path=path))


def _with_assignments(plan: Plan, parameters: Parameters) -> Plan:
    """Chunks alone get the categories of the taxonomy job, if there is one and nothing else is wanted."""
    taxonomy = parameters.taxonomy
    if plan.has_labels or parameters.data_source == "chunks" or taxonomy is None or taxonomy.job_id is None:
        return plan
    return plan._replace(kind="taxonomy", assignments=AssignmentsSource(job_id=taxonomy.job_id))


def _with_chunks(ctx: JobContext, plan: Plan) -> Plan:
    """Those that the earlier job has read, when no others are given and these did not come with its request."""
    labels = plan.extractions or plan.assignments
    if plan.chunks is not None or labels is None or labels.job_id is None:
        return plan
    _, manifest = manifest_of(ctx, labels.job_id, labels.job_types)
    return plan._replace(chunks=_chunks_read_by(manifest))


def _chunks_read_by(manifest: Mapping[str, Any]) -> ChunksSource | None:
    for given in manifest.get("inputs", ()):
        if given.get("parameter") == "source" and given.get("job_id") is not None:
            return ChunksSource(job_id=given["job_id"])
        if given.get("parameter") == "source" and given.get("path") is not None:
            return ChunksSource(path=given["path"])
    return None

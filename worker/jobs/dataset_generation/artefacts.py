"""The files of the job besides the records, and what the manifest tells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final, get_args

from worker.context import JobContext
from worker.jobs.dataset_generation.card import CARD, card
from worker.jobs.dataset_generation.modes import SPLITS, Format, Split
from worker.jobs.dataset_generation.parameters import Parameters
from worker.jobs.dataset_generation.plan import Plan
from worker.jobs.dataset_generation.records import json_schema
from worker.jobs.dataset_generation.rejected import REJECTED
from worker.jobs.shared.failures import ERRORS
from worker.jobs.shared.files import FileEntry, entry_of, json_file
from worker.jobs.shared.manifest import make_manifest
from worker.jobs.shared.source import Source
from worker.jobs.shared.workspace import publish, storing

SCHEMA: Final = "schema.json"
QUALITY: Final = "quality.json"
PUBLISHED: Final = (
    *(f"{split}.{kind}" for split in SPLITS for kind in get_args(Format)),
    CARD,
    SCHEMA,
    QUALITY,
    REJECTED,
    ERRORS,
)
_LIBRARIES: Final = ("pyarrow", "pydantic", "rapidfuzz", "rensa", "sentencex")


def write_descriptions(
    work: Path,
    parameters: Parameters,
    splits: Mapping[Split, int],
    rejected: Mapping[str, int],
    quality: Mapping[str, Any] | None,
) -> list[FileEntry]:
    """Card, schema and quality. Raises StorageError."""
    contents = {
        CARD: card(parameters, splits, rejected, quality).encode("utf-8"),
        SCHEMA: json_file(json_schema(parameters.schema_used)),
    }
    if quality is not None:
        contents[QUALITY] = json_file(quality)
    with storing():
        for name, content in contents.items():
            (work / name).write_bytes(content)
        return [entry_of(work / name, name) for name in contents]


def publish_all(
    ctx: JobContext, work: Path, parameters: Parameters, plan: Plan, files: list[FileEntry], started: datetime
) -> None:
    """Raises StorageError."""
    manifest = make_manifest(
        ctx,
        "dataset_generation",
        parameters=parameters.as_used(),
        seed=parameters.seed,
        libraries=_LIBRARIES,
        inputs=list(_inputs(plan, parameters)),
        files=files,
        started=started,
    )
    publish(work, [entry.path for entry in files], manifest)


def _inputs(plan: Plan, parameters: Parameters) -> Iterator[dict[str, object]]:
    named: dict[str, Source | None] = {
        "extractions": plan.extractions,
        "assignments": plan.assignments,
        "chunks": plan.chunks,
        "taxonomy": parameters.taxonomy,
    }
    for name, given in named.items():
        if given is not None:
            inline = given.job_id is given.path is None
            yield {"parameter": name, "job_id": given.job_id, "path": given.path, "inline": inline}

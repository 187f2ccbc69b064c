"""The files of the job: `extractions.jsonl`, `relations.jsonl` when asked for, `errors.jsonl` in mode `llm` and, last,
`manifest.json`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Final

from worker.context import JobContext
from worker.jobs.extraction.parameters import Parameters
from worker.jobs.shared.failures import ERRORS
from worker.jobs.shared.files import FileEntry
from worker.jobs.shared.manifest import make_manifest
from worker.jobs.shared.workspace import publish

EXTRACTIONS: Final = "extractions.jsonl"
RELATIONS: Final = "relations.jsonl"
PUBLISHED: Final = (EXTRACTIONS, RELATIONS, ERRORS)
_LIBRARIES = ("numpy", "pyahocorasick", "rapidfuzz", "regex", "scikit-learn", "scipy", "sentencex")


def publish_all(
    ctx: JobContext, work: Path, parameters: Parameters, files: list[FileEntry], chunks: int, started: datetime
) -> None:
    """Raises StorageError."""
    source, taxonomy = parameters.source, parameters.taxonomy
    inputs: list[dict[str, object]] = [
        {"parameter": name, "job_id": given.job_id, "path": given.path, "inline": given.job_id is given.path is None}
        for name, given in (("source", source), ("taxonomy", taxonomy))
    ]
    inputs[0]["chunks"] = chunks
    manifest = make_manifest(
        ctx,
        "extraction",
        parameters=parameters.as_used(),
        seed=parameters.seed,
        libraries=_LIBRARIES if parameters.llm is None else (*_LIBRARIES, "openai"),
        inputs=inputs,
        files=files,
        started=started,
    )
    publish(work, [entry.path for entry in files], manifest)

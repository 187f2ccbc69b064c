"""What the manifest tells of a document_processing job."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from worker.context import JobContext
from worker.jobs.document_processing.outcome import Outcome
from worker.jobs.document_processing.parameters import Parameters
from worker.jobs.shared.files import FileEntry
from worker.jobs.shared.manifest import make_manifest as manifest_of

_LIBRARIES = (
    "chardetng-py",
    "cmarkgfm",
    "html-to-markdown",
    "mammoth",
    "pypdfium2",
    "rapidfuzz",
    "regex",
    "scikit-learn",
    "semantic-text-splitter",
    "sentencex",
    "xberg",
)
_REDACTED = "***"


def make_manifest(
    ctx: JobContext, parameters: Parameters, outcomes: Sequence[Outcome], files: list[FileEntry], started: datetime
) -> dict[str, object]:
    """`files` has path, bytes, sha256 and records (lines, or 1 for a text) of every other artefact."""
    return manifest_of(
        ctx,
        "document_processing",
        parameters=_parameters(parameters),
        seed=parameters.seed,
        libraries=_LIBRARIES,
        inputs=[_input(outcome) for outcome in outcomes],
        files=files,
        started=started,
    )


def _parameters(parameters: Parameters) -> dict[str, object]:
    """As used, with defaults filled in. Documents are under `inputs`, where texts are told by their hash.

    Of a password one learns that there was one.
    """
    chunking = parameters.chunking()
    values = parameters.model_dump(exclude={"documents", "password"})
    password = None if parameters.password is None else _REDACTED
    return values | {"chunk_size": chunking.size, "overlap": chunking.overlap, "password": password}


def _input(outcome: Outcome) -> dict[str, object]:
    fields = ("document_id", "name", "source", "sha256", "bytes")
    return {**{field: outcome.record[field] for field in fields}, "seconds": round(outcome.seconds, 3)}

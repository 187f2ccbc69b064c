"""The manifest: what went in, what came out, and the only place for what differs from run to run."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from worker.jobs.document_processing.artefacts import FileEntry
from worker.jobs.document_processing.outcome import Outcome
from worker.jobs.document_processing.parameters import Parameters

SCHEMA_VERSION = 1
_LIBRARIES = (
    "chardetng-py",
    "html-to-markdown",
    "mammoth",
    "markdown-it-py",
    "pypdfium2",
    "semantic-text-splitter",
)
_REDACTED = "***"


def make_manifest(
    parameters: Parameters, outcomes: Sequence[Outcome], files: list[FileEntry], started: datetime, fence: int
) -> dict[str, object]:
    """`files` has path, bytes, sha256 and records (lines, or 1 for a text) of every other artefact.

    An execution with a lower fence than the one told here does not replace the files.
    """
    finished = datetime.now(UTC)
    return {
        "schema_version": SCHEMA_VERSION,
        "job_type": "document_processing",
        "fence": fence,
        "parameters": _parameters(parameters),
        "seed": None,
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _LIBRARIES}},
        "inputs": [_input(outcome) for outcome in outcomes],
        "files": [asdict(entry) for entry in files],
        "started_at": started.isoformat(),
        "finished_at": finished.isoformat(),
        "seconds": round((finished - started).total_seconds(), 3),
    }


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


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None

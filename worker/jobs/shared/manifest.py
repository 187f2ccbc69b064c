"""The manifest: what went in, what came out, and the only place for what differs from run to run."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from worker.context import JobContext
from worker.jobs.shared.files import FileEntry

SCHEMA_VERSION = 1


def make_manifest(
    ctx: JobContext,
    job_type: str,
    *,
    parameters: Mapping[str, object],
    seed: int | None,
    libraries: Sequence[str],
    inputs: Sequence[Mapping[str, object]],
    files: Sequence[FileEntry],
    started: datetime,
) -> dict[str, object]:
    """`parameters`: as used, with defaults, without secrets. `libraries`: names of distributions whose version matters.

    An execution with a lower fence than the one told here does not replace the files.
    """
    finished = datetime.now(UTC)
    return {
        "schema_version": SCHEMA_VERSION,
        "job_type": job_type,
        "fence": ctx.fence,
        "parameters": dict(parameters),
        "seed": seed,
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in libraries}},
        "inputs": [dict(source) for source in inputs],
        "files": [asdict(entry) for entry in files],
        "started_at": started.isoformat(),
        "finished_at": finished.isoformat(),
        "seconds": round((finished - started).total_seconds(), 3),
    }


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None

"""The job's result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from worker.jobs.dataset_generation.artefacts import QUALITY, SCHEMA
from worker.jobs.dataset_generation.card import CARD
from worker.jobs.dataset_generation.modes import Split
from worker.jobs.dataset_generation.parameters import Parameters
from worker.jobs.dataset_generation.rejected import REJECTED
from worker.jobs.dataset_generation.write import SplitFile
from worker.jobs.shared.workspace import MANIFEST


def summary(
    parameters: Parameters,
    splits: Mapping[Split, int],
    rejected: Mapping[str, int],
    quality: Mapping[str, Any] | None,
    files: Sequence[SplitFile],
) -> dict[str, object]:
    """Far below 64 KB: of the quality without what grows with the number of categories."""
    artifacts = {"card": CARD, "schema": SCHEMA, "rejected": REJECTED, "manifest": MANIFEST}
    told = None
    if quality is not None:
        artifacts["quality"] = QUALITY
        told = {name: value for name, value in quality.items() if name != "labels"}
    return {
        "status": "completed",
        "entries_count": sum(splits.values()),
        "rejected": dict(rejected),
        "splits": dict(splits),
        "quality": told,
        "files": [
            {"path": entry.path, "split": split, "records": entry.records, "bytes": entry.bytes}
            for split, entry in files
        ],
        "generation_mode": parameters.generation_mode,
        "schema": parameters.schema_used,
        "dataset_name": parameters.dataset_name_used,
        "version": parameters.version,
        "artifacts": artifacts,
    }

"""The job's result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from worker.jobs.dataset_generation.artefacts import QUALITY, SCHEMA
from worker.jobs.dataset_generation.card import CARD
from worker.jobs.dataset_generation.check import REASONS
from worker.jobs.dataset_generation.modes import Split
from worker.jobs.dataset_generation.parameters import Parameters
from worker.jobs.dataset_generation.rejected import REJECTED
from worker.jobs.dataset_generation.write import SplitFile
from worker.jobs.shared.failures import ERRORS, Failures
from worker.jobs.shared.llm.usage import LlmUsage
from worker.jobs.shared.workspace import MANIFEST

_SMALL: Final = 200


class Asked(NamedTuple):
    """What asking a model has cost, and where it failed."""

    usage: LlmUsage
    failures: Failures


def summary(
    parameters: Parameters,
    splits: Mapping[Split, int],
    rejected: Mapping[str, int],
    quality: Mapping[str, Any] | None,
    files: Sequence[SplitFile],
    asked: Asked | None,
    texts: int,
) -> dict[str, object]:
    """`texts`: that records could be made of.

    Far below 64 KB: of the quality without what grows with the number of categories.

    Offline `llm` is None, `failed_items` 0 and `errors` empty. In mode `llm`, `llm` has the model, the counts of
    `LlmUsage` and `grounded_share`, the part of the records that rested on their text before others were dropped;
    `failed_items` counts the texts of which nothing was made because asking the model failed, and `errors` tells the
    first 50: `{code, message, document_id, chunk_id, stage, retryable}`.
    """
    artifacts: dict[str, str] = {"card": CARD, "schema": SCHEMA, "rejected": REJECTED, "manifest": MANIFEST}
    told = None
    if quality is not None:
        artifacts["quality"] = QUALITY
        told = {name: value for name, value in quality.items() if name != "labels"}
    if asked is not None:
        artifacts["errors"] = ERRORS
    entries = sum(splits.values())
    return {
        "status": "completed",
        "entries_count": entries,
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
        "llm": _told_of_model(parameters, rejected, entries, asked),
        "failed_items": 0 if asked is None else asked.failures.count,
        "errors": [] if asked is None else asked.failures.first,
        "warnings": _warnings(texts),
        "artifacts": artifacts,
    }


def _warnings(texts: int) -> list[dict[str, str]]:
    if texts >= _SMALL:
        return []
    message = f"Below {_SMALL} texts it shows less well which words tell something; look at the records before use."
    return [{"code": "small_corpus", "message": message}]


def _told_of_model(
    parameters: Parameters, rejected: Mapping[str, int], entries: int, asked: Asked | None
) -> dict[str, object] | None:
    if asked is None or parameters.llm is None:
        return None
    # Those that were dropped for other reasons after that one are grounded too, but for those without a valid form.
    grounded = entries + sum(rejected[reason] for reason in REASONS if reason not in ("ungrounded", "schema"))
    share = round(grounded / (grounded + rejected["ungrounded"]), 4)
    return {**asked.usage.as_result(parameters.llm.model), "grounded_share": share}

"""The categories that a taxonomy names."""

from __future__ import annotations

import json
from typing import Any, Final

from pydantic import ValidationError

from worker.context import JobContext, PermanentError
from worker.jobs.dataset_generation.findings import Category
from worker.jobs.dataset_generation.parameters import first_mistake
from worker.jobs.shared.reading import opened
from worker.jobs.shared.source import TaxonomySource
from worker.jobs.shared.taxonomy import Node

TAXONOMY: Final = "taxonomy.json"
_MOST_BYTES: Final = 64 * 1024 * 1024


def named_categories(ctx: JobContext, source: TaxonomySource | None) -> list[Category]:
    """All below the root; none without a taxonomy. Raises PermanentError `schema_mismatch` or what reading raises."""
    if source is None:
        return []
    data = source.taxonomy if source.taxonomy is not None else _read(ctx, source)
    try:
        root = Node.of(data)
    except ValidationError as error:
        raise PermanentError("schema_mismatch", f"{first_mistake(error)}.") from None
    return [Category(node.id or Node.stable_id(path), path) for path, node in root.walk()]


def _read(ctx: JobContext, source: TaxonomySource) -> Any:
    with opened(ctx, source, TAXONOMY) as file:
        text = file.read(_MOST_BYTES + 1)
    try:
        data = json.loads(text) if len(text) <= _MOST_BYTES else None
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise PermanentError("schema_mismatch", "The taxonomy is not a JSON object, or is larger than 64 MB.")
    return data

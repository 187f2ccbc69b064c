"""The categories that a taxonomy names."""

from __future__ import annotations

from pydantic import ValidationError

from worker.context import JobContext, PermanentError
from worker.jobs.dataset_generation.findings import Category
from worker.jobs.dataset_generation.parameters import first_mistake
from worker.jobs.shared import reading
from worker.jobs.shared.source import TaxonomySource
from worker.jobs.shared.taxonomy import Node


def named_categories(ctx: JobContext, source: TaxonomySource | None) -> list[Category]:
    """All below the root; none without a taxonomy. Raises PermanentError `schema_mismatch` or what reading raises."""
    if source is None:
        return []
    data = reading.taxonomy(ctx, source)
    try:
        root = Node.of(data)
    except ValidationError as error:
        raise PermanentError("schema_mismatch", f"{first_mistake(error)}.") from None
    return [Category(node.id or Node.stable_id(path), path) for path, node in root.walk()]

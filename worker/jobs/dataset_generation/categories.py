"""The categories that a taxonomy names."""

from __future__ import annotations

from worker.context import JobContext
from worker.jobs.dataset_generation.findings import Category
from worker.jobs.shared import reading
from worker.jobs.shared.source import TaxonomySource
from worker.jobs.shared.taxonomy import Node


def named_categories(ctx: JobContext, source: TaxonomySource | None) -> list[Category]:
    """All below the root; none without a taxonomy. Raises PermanentError, see `reading.taxonomy`."""
    if source is None:
        return []
    root = reading.taxonomy(ctx, source, "taxonomy")
    return [Category(node.id or Node.stable_id(path), path) for path, node in root.walk()]

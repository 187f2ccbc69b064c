"""The categories that a taxonomy names."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import starmap

from worker.context import JobContext, PermanentError
from worker.jobs.dataset_generation.findings import Category
from worker.jobs.dataset_generation.sources import known_of
from worker.jobs.shared import reading
from worker.jobs.shared.errors import InputError
from worker.jobs.shared.selection import selected_paths
from worker.jobs.shared.source import TaxonomySource
from worker.jobs.shared.taxonomy import categories_in


def named_categories(ctx: JobContext, source: TaxonomySource | None) -> list[Category]:
    """All below the root; none without a taxonomy. Raises PermanentError, see `reading.taxonomy`."""
    if source is None:
        return []
    return list(starmap(Category, categories_in(reading.taxonomy(ctx, source, "taxonomy"))))


def selected_of(wanted: Sequence[str], categories: Sequence[Category]) -> list[tuple[str, ...]]:
    """Raises PermanentError `unknown_category` or `ambiguous_category`."""
    try:
        return selected_paths(wanted, known_of(categories))
    except InputError as error:
        raise PermanentError(error.code, str(error)) from None

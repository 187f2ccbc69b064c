"""The job: what chunks speak of, as a tree of categories with names, keywords and examples."""

from __future__ import annotations

from worker.context import JobContext
from worker.jobs.shared.libraries import require
from worker.jobs.taxonomy_processing.parameters import Parameters

_MODULES = ("rapidfuzz", "rensa", "sentencex", "sklearn")


def run(ctx: JobContext, parameters: Parameters) -> dict[str, object]:
    """Write `taxonomy.json` and `assignments.jsonl` into the job's folder and return the summary.

    Raises PermanentError `no_chunks`, `not_enough_variety`, `no_categories`, `missing_dependency` or what reading the
    sources raises, in mode `llm` also what `open_llm`, `Llm.map` and `Llm.raise_if_nothing_came` raise, StorageError
    and JobCancelled; after all of them no artefact is left.
    """
    require(_MODULES, "pipeline")
    # Only now: what it imports may have been missing.
    from threadpoolctl import threadpool_limits

    from worker.jobs.taxonomy_processing.build import build

    with threadpool_limits(1):
        return build(ctx, parameters)

"""The job: which parts of chunks speak of which categories, and the entities in them."""

from __future__ import annotations

from worker.context import JobContext
from worker.jobs.extraction.parameters import Parameters
from worker.jobs.shared.libraries import require

_MODULES = ("ahocorasick", "rapidfuzz", "regex", "sentencex", "sklearn")


def run(ctx: JobContext, parameters: Parameters) -> dict[str, object]:
    """Write `extractions.jsonl` into the job's folder and return the summary.

    Raises PermanentError `no_chunks`, `no_categories`, `unknown_category`, `ambiguous_category`, `empty_profile`,
    `invalid_pattern`, `pattern_timeout`, `missing_dependency` or what reading the sources raises, in mode `llm` also
    what `open_llm`, `Llm.map` and `Llm.raise_if_nothing_came` raise, StorageError and JobCancelled; after all of them
    no artefact is left.
    """
    require(_MODULES, "pipeline")
    # Only now: what it imports may have been missing.
    from threadpoolctl import threadpool_limits

    from worker.jobs.extraction.extract import extract

    with threadpool_limits(1):
        return extract(ctx, parameters)

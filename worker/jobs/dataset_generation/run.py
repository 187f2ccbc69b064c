"""The job: training data made of chunks and of what was found in them."""

from __future__ import annotations

from worker.context import JobContext
from worker.jobs.dataset_generation.parameters import Parameters
from worker.jobs.shared.libraries import require

_MODULES = ("rapidfuzz", "rensa", "sentencex")


def run(ctx: JobContext, parameters: Parameters) -> dict[str, object]:
    """Write the splits, the card and what belongs to them into the job's folder and return the summary.

    Raises PermanentError `labels_required`, `chunks_required`, `no_chunks`, `no_records`, `unknown_category`,
    `ambiguous_category`, `split_too_small`, `quality_threshold_not_met`, `missing_dependency` or what reading the
    sources raises, in mode `llm` also what `open_llm`, `Llm.map` and `Llm.raise_if_nothing_came` raise, StorageError
    and JobCancelled; after all of them no artefact is left.
    """
    require([*_MODULES, *(["pyarrow"] if "parquet" in parameters.formats else [])], "pipeline")
    # Only now: what it imports may have been missing.
    from worker.jobs.dataset_generation.build import build

    return build(ctx, parameters)

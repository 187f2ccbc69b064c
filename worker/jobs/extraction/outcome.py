"""The job's result, with what a reader should know before trusting it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from worker.jobs.extraction.artefacts import EXTRACTIONS, RELATIONS
from worker.jobs.extraction.asking import Asking
from worker.jobs.extraction.categories import Category
from worker.jobs.extraction.findings import Totals
from worker.jobs.extraction.load import Chunks
from worker.jobs.extraction.parameters import VALIDATION_LLM, Parameters
from worker.jobs.extraction.patterns import MOST_PER_CHUNK
from worker.jobs.extraction.space import SMALL
from worker.jobs.shared.failures import ERRORS
from worker.jobs.shared.llm.options import FIELD
from worker.jobs.shared.workspace import MANIFEST

_LONGEST_RESULT_BYTES = 60_000
Warning_ = dict[str, str]


def summary(
    parameters: Parameters,
    chunks: Chunks,
    totals: Totals,
    uncovered: Sequence[Category],
    warnings: Sequence[Warning_],
    asking: Asking | None,
) -> dict[str, object]:
    """Below 64 KB: of a long `by_category` the rarest go first, and `by_category_omitted` counts them.

    Offline `llm` is None, `failed_chunks` 0 and `errors` empty. In mode `llm`, `llm` has the model, the counts of
    `LlmUsage` and `outside_dropped`, how often a reply named a category that it was not asked about;
    `validation_llm` has the same of a second model; `errors` tells the first 50 chunks about which asking failed:
    `{code, message, document_id, chunk_id, stage, retryable}`.
    """
    artifacts = {"extractions": EXTRACTIONS, "manifest": MANIFEST}
    if parameters.infer_relations:
        artifacts["relations"] = RELATIONS
    if asking is not None:
        artifacts["errors"] = ERRORS
    by_category = sorted(totals.by_category.items(), key=lambda item: (-item[1], item[0]))
    names = ["/".join(category.path) for category in uncovered]
    result: dict[str, object] = {
        "status": "completed",
        "processed_chunks": chunks.count - totals.failed,
        "failed_chunks": totals.failed,
        "chunks_with_results": totals.chunks,
        "total_results": totals.results,
        "by_category": dict(by_category),
        "by_type": dict(sorted(totals.by_type.items())),
        "mean_confidence": totals.mean_confidence,
        "threshold": parameters.confidence_threshold,
        "validated": totals.validated if parameters.enable_validation_stage else None,
        "uncovered_categories": names,
        "warnings": list(warnings),
        "artifacts": artifacts,
        **({FIELD: None, VALIDATION_LLM: None} if asking is None else asking.as_result()),
        "errors": [] if asking is None else asking.failures.first,
    }
    while len(json.dumps(result)) > _LONGEST_RESULT_BYTES:
        if len(by_category) > len(names):
            del by_category[len(by_category) * 9 // 10 :]
        else:
            del names[len(names) * 9 // 10 :]
        result["by_category"] = dict(by_category)
        result["by_category_omitted"] = len(totals.by_category) - len(by_category)
    return result


def warnings_of(chunks: Chunks, uncovered: Sequence[Category], *, is_small: bool, cut_short: int) -> Iterator[Warning_]:
    if is_small:
        yield _warning(
            "small_corpus",
            f"Below {SMALL} chunks only words are compared, without what they have in common; expect clearly less.",
        )
    if chunks.left_out:
        yield _warning("chunks_left_out", f"{chunks.left_out} chunks beyond max_chunks ({chunks.count}) were not read.")
    if uncovered:
        yield _warning(
            "empty_profile",
            f"{len(uncovered)} categories have no word that occurs in the chunks, so nothing can be found for them; "
            "give them a description or keywords.",
        )
    if cut_short:
        yield _warning(
            "too_many_matches", f"{cut_short} times a pattern was stopped after {MOST_PER_CHUNK} matches in one chunk."
        )


def _warning(code: str, message: str) -> Warning_:
    return {"code": code, "message": message}

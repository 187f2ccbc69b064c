"""The job's result, with what a reader should know before trusting it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from worker.jobs.shared.failures import ERRORS
from worker.jobs.shared.reading import TAXONOMY
from worker.jobs.shared.workspace import MANIFEST
from worker.jobs.taxonomy_processing.artefacts import ASSIGNMENTS
from worker.jobs.taxonomy_processing.corpus import Corpus
from worker.jobs.taxonomy_processing.llm_names import LlmNamer
from worker.jobs.taxonomy_processing.measures import Measures
from worker.jobs.taxonomy_processing.words import ENGLISH

_SMALL: Final = 200
_LARGEST_TREE_BYTES: Final = 32_000
_SHOWN: Final = ("id", "name", "description", "size")


def summary(
    taxonomy: dict[str, Any],
    corpus: Corpus,
    unassigned: int,
    measures: Measures,
    warnings: list[dict[str, str]],
    model: LlmNamer | None,
) -> dict[str, object]:
    """Below 64 KB: a tree that is too large for that is only in its file.

    Offline `llm` is None, `failed_categories` 0 and `errors` empty. In mode `llm`, `llm` has the model and the counts
    of `LlmUsage`; `failed_categories` counts those that keep the names and descriptions that they would have offline,
    the taxonomy itself among them, and `errors` tells the first 50: `{code, message, category_id, category, stage,
    retryable}`, where `category` is the path `a/b`, of the taxonomy itself empty.
    """
    root = taxonomy["taxonomy"]
    tree = _shown(root)
    artifacts = {"taxonomy": TAXONOMY, "assignments": ASSIGNMENTS, "manifest": MANIFEST}
    if model is not None:
        artifacts["errors"] = ERRORS
    return {
        "status": "completed",
        "taxonomy": tree if len(json.dumps(tree)) <= _LARGEST_TREE_BYTES else None,
        "categories_count": _count(root),
        "max_depth": _depth(root),
        "total_chunks": corpus.total,
        "chunks_used": len(corpus.numbers),
        "duplicates": len(corpus.same),
        "unassigned": unassigned,
        "confidence_score": measures.confidence,
        "quality": measures.to_json(),
        "warnings": warnings,
        "artifacts": artifacts,
        "llm": None if model is None else model.as_result(),
        "failed_categories": 0 if model is None else model.failures.count,
        "errors": [] if model is None else model.failures.first,
    }


def warnings_of(corpus: Corpus, language: str, model: LlmNamer | None, *, is_divided: bool) -> Iterator[dict[str, str]]:
    if len(corpus.numbers) < _SMALL:
        yield _warning(
            "small_corpus", f"Below {_SMALL} different chunks categories are rough; look at them before use."
        )
    if language != ENGLISH:
        message = "There is no list of stop words for the language; words that most of the chunks have were left out."
        yield _warning("language_unknown", message)
    if not is_divided:
        message = (
            "No new category was found: there are too few chunks for it, or given ones lie as deep as depth allows."
        )
        yield _warning("nothing_divided", message)
    if corpus.left_out:
        yield _warning("chunks_left_out", f"{corpus.left_out} chunks beyond max_chunks ({corpus.total}) were not read.")
    if model is not None and not model.count:
        message = "No category was found that had no name yet, so the model was not asked."
        yield _warning("nothing_to_name", message)


def _warning(code: str, message: str) -> dict[str, str]:
    return {"code": code, "message": message}


def _shown(node: dict[str, Any]) -> dict[str, Any]:
    return {key: node[key] for key in _SHOWN} | {"children": [_shown(child) for child in node["children"]]}


def _count(node: dict[str, Any]) -> int:
    return sum(1 + _count(child) for child in node["children"])


def _depth(node: dict[str, Any]) -> int:
    return max((1 + _depth(child) for child in node["children"]), default=0)

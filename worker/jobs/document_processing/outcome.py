"""What came of each document, and what that means for the job: its result, or the error that it fails with."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from worker.context import PermanentError, RetryableError
from worker.jobs.document_processing.artefacts import CHUNKS, DOCUMENTS
from worker.jobs.document_processing.parameters import Parameters
from worker.jobs.shared.errors import most_failures
from worker.jobs.shared.llm.usage import LlmUsage
from worker.jobs.shared.workspace import MANIFEST

# A warning of documents about which a model could not be asked.
FALLBACK: Final = "llm_fallback"
_ROWS = 50
_LONGEST_NAME = 120
_LONGEST_RESULT_BYTES = 60_000
_REASONS = 3
JobError = PermanentError | RetryableError
_ROW_FIELDS = ("document_id", "type", "pages", "chunks", "characters", "status")


@dataclass(slots=True)
class Outcome:
    """`record` is the line in `documents.jsonl`; `seconds` is not in it because it differs from run to run."""

    record: dict[str, Any]
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        return bool(self.record["status"] == "failed")


def verdict(outcomes: Sequence[Outcome], parameters: Parameters, total: int) -> JobError | None:
    """The error that the job ends with as things stand, or None to go on. `total`: of all documents of the job."""
    failures = [outcome for outcome in outcomes if outcome.failed]
    if len(failures) == total:
        return _job_error("no_documents_parsed", "No document could be processed", failures)
    if failures and parameters.fail_fast:
        return _job_error("document_failed", "Stopped at the first failure (fail_fast)", failures)
    if len(failures) > most_failures(parameters.max_error_rate, total):
        text = f"{len(failures)} of {total} documents failed, more than max_error_rate ({parameters.max_error_rate:g})"
        return _job_error("too_many_errors", text, failures)
    return None


def summary(outcomes: Sequence[Outcome], parameters: Parameters, usage: LlmUsage | None = None) -> dict[str, object]:
    """The job's result, below 64 KB whatever the documents are called: lists are cut short before it grows larger.

    In mode `llm`, `llm` has the model, the counts of `LlmUsage`, whose items are the questions, and
    `fallback_documents`: those whose borders were found as offline, because asking about them failed.
    """
    done = [outcome.record for outcome in outcomes if not outcome.failed]
    rows = [_row(outcome) for outcome in outcomes[:_ROWS]]
    errors = [_error(outcome.record) for outcome in outcomes if outcome.failed][:_ROWS]
    result: dict[str, object] = {
        "status": "completed",
        "processed_documents": len(done),
        "failed_documents": len(outcomes) - len(done),
        "total_chunks": sum(record["chunks"] for record in done),
        "characters": sum(record["characters"] for record in done),
        "pages": sum(record["pages"] or 0 for record in done),
        "chunk_strategy": parameters.chunk_strategy,
        "by_type": dict(sorted(Counter(record["type"] for record in done).items())),
        "documents": rows,
        "artifacts": {"documents": DOCUMENTS, "chunks": CHUNKS, "manifest": MANIFEST},
        "errors": errors,
        "llm": _asked(outcomes, parameters, usage),
    }
    while len(json.dumps(result)) > _LONGEST_RESULT_BYTES:
        max(rows, errors, key=len).pop()
    return result


def _asked(outcomes: Sequence[Outcome], parameters: Parameters, usage: LlmUsage | None) -> dict[str, object] | None:
    if usage is None or parameters.llm is None:
        return None
    warned = sum(any(row["code"] == FALLBACK for row in outcome.record["warnings"]) for outcome in outcomes)
    return {**usage.as_result(parameters.llm.model), "fallback_documents": warned}


def _row(outcome: Outcome) -> dict[str, object]:
    record = outcome.record
    return {
        "name": _short(record["name"]),
        **{field: record[field] for field in _ROW_FIELDS},
        "error": record["error"] and record["error"]["code"],
        "warnings": [warning["code"] for warning in record["warnings"]],
        "seconds": round(outcome.seconds, 3),
    }


def _error(record: dict[str, Any]) -> dict[str, object]:
    return {**record["error"], "document_id": record["document_id"], "name": _short(record["name"])}


def _job_error(code: str, text: str, failures: Sequence[Outcome]) -> JobError:
    """Another attempt is of use when it may mend all that has failed."""
    may_mend = all(outcome.record["error"]["retryable"] for outcome in failures)
    kind = RetryableError if may_mend else PermanentError
    return kind(code, f"{text}. {_reasons(failures)}")


def _reasons(failures: Sequence[Outcome]) -> str:
    told = []
    for outcome in failures[:_REASONS]:
        error = outcome.record["error"]
        told.append(f"{_short(outcome.record['name'])}: {error['code']}, {error['message']}")
    more = len(failures) - len(told)
    return " ".join(told) + (f" And {more} more." if more > 0 else "")


def _short(name: str) -> str:
    """The end of a long name, where the file is named."""
    return name if len(name) <= _LONGEST_NAME else "…" + name[1 - _LONGEST_NAME :]

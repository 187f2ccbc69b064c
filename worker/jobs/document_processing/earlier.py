"""Stage 2 of a job that cuts the texts of an earlier one anew: they are taken over as they are."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from worker.context import PermanentError
from worker.jobs.document_processing import progress
from worker.jobs.document_processing.artefacts import DOCUMENTS
from worker.jobs.document_processing.errors import DocumentError
from worker.jobs.document_processing.marks import Marks
from worker.jobs.document_processing.outcome import FALLBACK, Outcome
from worker.jobs.document_processing.parameters import TextsSource
from worker.jobs.document_processing.record import PARSED, text_name
from worker.jobs.document_processing.stage import Job
from worker.jobs.shared.files import entry_of
from worker.jobs.shared.reading import manifest_of, opened, records
from worker.jobs.shared.workspace import storing

_REQUIRED = {"document_id": str, "name": str, "status": str, "characters": int}


def take_over(job: Job, source: TextsSource) -> list[Outcome]:
    """The documents that the earlier job has completed, with their ids.

    Raises PermanentError `source_failed`, `source_wrong_type` or `schema_mismatch`, and RetryableError `file_changed`.
    """
    folder, manifest = manifest_of(job.ctx, source.job_id or "", source.job_types)
    hashes = {entry["path"]: entry["sha256"] for entry in manifest.get("files", [])}
    found = records(opened(job.ctx, source, DOCUMENTS, "source"), "source", _REQUIRED)
    outcomes = [_outcome(record) for record in found if record["status"] == "completed"]
    if not outcomes:
        raise PermanentError("source_failed", f"Job {source.job_id} has left no texts.")
    job.progress.begin(progress.PARSE, len(outcomes))
    for number, outcome in enumerate(outcomes, 1):
        job.ctx.check()
        try:
            _take(job, folder, outcome, hashes.get(text_name(outcome.record["document_id"])))
        except DocumentError as error:
            job.fail(number, outcome, error)
        job.progress.note(number, outcome.record["name"], "Taking over", 1.0)
    return outcomes


def _outcome(record: dict[str, Any]) -> Outcome:
    # How the earlier job has cut it is over.
    warnings = [warning for warning in record.get("warnings", []) if warning["code"] != FALLBACK]
    return Outcome(record | {"status": PARSED, "chunks": 0, "warnings": warnings})


def _take(job: Job, folder: Path, outcome: Outcome, digest: str | None) -> None:
    """Raises DocumentError `source_failed` for what is not what the earlier job has left."""
    record = outcome.record
    name = text_name(record["document_id"])
    try:
        marks = Marks.from_record(record)
        readable = entry_of(folder / name, name).sha256 == digest
    except (OSError, LookupError, TypeError):
        readable = False
    if not readable:
        message = "The text of this document, which an earlier job has stored, is gone or has been changed since."
        raise DocumentError("source_failed", message, stage="read")
    with storing():
        shutil.copyfile(folder / name, job.artefacts.text_file(record))
        marks.save(job.artefacts.marks_file(record))

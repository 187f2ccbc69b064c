"""Stage 4: each text to its chunks. Before, for the strategy `semantic`, all are learned from, or a model is asked."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from worker.context import PermanentError
from worker.jobs.document_processing import progress
from worker.jobs.document_processing.crew import Piece
from worker.jobs.document_processing.document_process import Order
from worker.jobs.document_processing.errors import DocumentError
from worker.jobs.document_processing.outcome import JobError, Outcome, verdict
from worker.jobs.document_processing.record import PARSED, failure, text_name
from worker.jobs.document_processing.stage import Job
from worker.jobs.document_processing.task import ChunkTask, FitTask
from worker.jobs.shared.files import Record
from worker.jobs.shared.workspace import storing

Parsed = list[tuple[int, Outcome]]


def chunk_all(job: Job, outcomes: list[Outcome]) -> JobError | None:
    """Until all are done or too many have failed: then the answer is the job's error."""
    parsed = [(index, outcome) for index, outcome in enumerate(outcomes, 1) if outcome.record["status"] == PARSED]
    borders = _ask(job, parsed)
    learns = job.parameters.chunk_strategy == "semantic" and len(borders) < len(parsed)
    if learns:
        _learn(job, parsed)
    job.progress.begin(_stage(job, learns=learns), len(parsed))
    numbered = {number: outcome for number, (_, outcome) in enumerate(parsed, 1)}
    pieces = _pieces(job, parsed, borders)
    # What was learned takes more memory than two documents at a time may have.
    for number, record in job.work_off(numbered, pieces, "Chunked", one_by_one=learns):
        _take(job, *parsed[number - 1], record)
        error = verdict(outcomes, job.parameters, len(outcomes))
        if error is not None:
            return error
    return None


def stop(outcomes: list[Outcome]) -> None:
    """For documents that were parsed when the job ended with an error."""
    message = "The job ended with an error before this document was cut into chunks."
    for outcome in outcomes:
        if outcome.record["status"] == PARSED:
            outcome.record.update(failure(DocumentError("stopped", message, stage="chunk", retryable=True)))


def _stage(job: Job, *, learns: bool) -> tuple[float, float]:
    if job.llm is not None:
        return progress.CHUNK_AFTER_ASKING
    return progress.CHUNK_AFTER_LEARNING if learns else progress.CHUNK


def _pieces(job: Job, parsed: Parsed, borders: Mapping[int, list[int]]) -> Iterator[Piece]:
    chunking = job.parameters.chunking()
    for number, (index, outcome) in enumerate(parsed, 1):
        record = outcome.record
        learned = job.parameters.chunk_strategy == "semantic" and index not in borders
        job.progress.note(number, record["name"], "Chunking", 0.0)
        task = ChunkTask(
            document_id=str(record["document_id"]),
            text_file=str(job.artefacts.text_file(record)),
            marks_file=str(job.artefacts.marks_file(record)),
            chunks_file=str(job.artefacts.work_file(index, "chunks")),
            chunking=chunking,
            topics=str(job.artefacts.topics) if learned else None,
            borders=borders.get(index),
        )
        task_file = job.artefacts.work_file(index, "json")
        with storing():
            task.save(task_file)
        yield number, Order("chunk", task_file, job.parameters.document_timeout, topics=learned)


def _take(job: Job, index: int, outcome: Outcome, found: Record) -> None:
    record = outcome.record
    record.update(found)
    if record["status"] == PARSED:
        record.update({"status": "completed", "text_file": text_name(record["document_id"])})
        job.artefacts.take_chunks(index, record)
    else:
        job.tell_failure(index, outcome)
    job.artefacts.clear(index)


def _ask(job: Job, parsed: Parsed) -> dict[int, list[int]]:
    """See `ask_all`; offline nothing is known of any document."""
    if job.llm is None:
        return {}
    # Only now: what it imports may be missing offline.
    from worker.jobs.document_processing.asking import ask_all

    return ask_all(job, job.llm, parsed)


def _learn(job: Job, parsed: Parsed) -> None:
    """Raises PermanentError `learning_failed`: it is no single document's fault."""
    job.progress.begin(progress.LEARN, len(parsed))
    texts = [str(job.artefacts.text_file(outcome.record)) for _, outcome in parsed]
    task_file = job.artefacts.work_file(0, "json")
    with storing():
        FitTask(texts, str(job.artefacts.topics), job.parameters.seed).save(task_file)
    # The job has a time limit of its own.
    order = Order("fit", task_file, math.inf, topics=True)
    for _, message in job.crew.run(iter([(0, order)]), job.ctx.check, one_by_one=True):
        if "progress" in message:
            job.progress.overall("Learning what sentences are about", message["progress"])
        elif message["record"].get("error") is not None:
            reason = "Learning what the sentences are about needs more memory than it may use; use fewer documents."
            raise PermanentError("learning_failed", reason)
    job.artefacts.clear(0)

"""Stage 2: each document from its bytes to a text among the finished parses."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import PurePosixPath

from worker.jobs.document_processing import progress
from worker.jobs.document_processing.by_url import bring, keep_note
from worker.jobs.document_processing.crew import Piece
from worker.jobs.document_processing.document_process import Order
from worker.jobs.document_processing.errors import DocumentError
from worker.jobs.document_processing.input_document import Document
from worker.jobs.document_processing.outcome import JobError, Outcome, verdict
from worker.jobs.document_processing.record import failure, new_record
from worker.jobs.document_processing.stage import Job
from worker.jobs.document_processing.task import Limits, Task
from worker.jobs.document_processing.urls import name_of
from worker.jobs.shared.errors import InputError
from worker.jobs.shared.uploads import find_upload
from worker.jobs.shared.workspace import storing


def parse_all(job: Job, outcomes: list[Outcome], keys: dict[int, str]) -> JobError | None:
    """Until all are done or too many have failed: then the answer is the job's error.

    `outcomes` grows by one for each; `keys`: of the finished parse of the document with that number.
    """
    total = len(job.parameters.documents)
    job.progress.begin(progress.PARSE, total)
    tasks: dict[int, Task] = {}
    begun: dict[int, Outcome] = {}
    pieces = _pieces(job, tasks, begun)
    # What was fetched need not wait for the document's turn.
    for number, record in job.work_off(begun, pieces, "Finished", on_end=job.artefacts.clear):
        outcome, task = begun.pop(number), tasks.pop(number)
        outcome.record.update(record)
        outcomes.append(outcome)
        if outcome.failed:
            job.tell_failure(number, outcome)
        else:
            keys[number] = task.key(outcome.record["sha256"])
            keep_note(job, task, outcome.record)
        error = verdict(outcomes, job.parameters, total)
        if error is not None:
            return error
    return None


def _pieces(job: Job, tasks: dict[int, Task], begun: dict[int, Outcome]) -> Iterator[Piece]:
    """What there is to do for each document when its turn has come; fills in both dicts before."""
    for number, document in enumerate(job.parameters.documents, 1):
        task, problem = _make_task(job, number, document)
        tasks[number], begun[number] = task, Outcome(new_record(task))
        job.progress.note(number, task.name, "Reading" if document.url is None else "Fetching", 0.0)
        record = None if problem is None else failure(DocumentError(problem.code, str(problem), stage="read"))
        if document.url is not None:
            start = time.monotonic()
            task, record = bring(job, task, document.url)
            tasks[number], begun[number].seconds = task, time.monotonic() - start
        if record is not None:
            yield number, {"record": record}
            continue
        task_file = job.artefacts.work_file(number, "json")
        with storing():
            task.save(task_file)
        yield number, Order("parse", task_file, job.parameters.document_timeout, password=task.password)


def _make_task(job: Job, index: int, document: Document) -> tuple[Task, InputError | None]:
    given = job.parameters
    path, problem = _find(job, document)
    task = Task(
        index=index,
        name=_name(document, path),
        source={"inline" if document.kind == "text" else document.kind: document.label},
        path=path,
        text=document.text,
        input_root=str(job.ctx.input_root),
        folder=str(job.artefacts.parsed),
        text_file=str(job.artefacts.work_file(index, "text.partial")),
        marks_file=str(job.artefacts.work_file(index, "marks.partial")),
        input_format=given.input_format,
        parser=given.parser,
        pages=given.pages,
        encoding=given.encoding,
        strip_boilerplate=given.strip_boilerplate,
        limits=Limits(given.max_document_bytes, given.max_pages, given.max_characters),
        password=given.password,
    )
    return task, problem


def _name(document: Document, path: str | None) -> str:
    if document.url is not None:
        return name_of(document.url)
    return document.label if path is None or document.file_id is None else PurePosixPath(path).name


def _find(job: Job, document: Document) -> tuple[str | None, InputError | None]:
    """The path below the input folder, of what is none in the request itself."""
    if document.file_id is None:
        return document.path, None
    try:
        return find_upload(job.ctx.input_root, job.ctx.user_id, document.file_id), None
    except InputError as error:
        return None, error

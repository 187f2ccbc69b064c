"""Stage 2: each document in turn from its bytes to a text among the finished parses."""

from __future__ import annotations

import time
from pathlib import PurePosixPath

from worker.context import PermanentError
from worker.jobs.document_processing import progress
from worker.jobs.document_processing.by_url import parse_from_url
from worker.jobs.document_processing.document_process import Order
from worker.jobs.document_processing.errors import DocumentError
from worker.jobs.document_processing.input_document import Document
from worker.jobs.document_processing.outcome import Outcome, verdict
from worker.jobs.document_processing.record import failure, new_record
from worker.jobs.document_processing.stage import Job
from worker.jobs.document_processing.task import Limits, Task
from worker.jobs.document_processing.urls import name_of
from worker.jobs.shared.errors import InputError
from worker.jobs.shared.uploads import find_upload
from worker.jobs.shared.workspace import storing


def parse_all(job: Job, outcomes: list[Outcome], keys: dict[int, str]) -> PermanentError | None:
    """One after the other, until all are done or too many have failed: then the answer is the job's error.

    `outcomes` grows by one for each; `keys`: of the finished parse of the document with that number.
    """
    documents = job.parameters.documents
    job.progress.begin(progress.PARSE, len(documents))
    for index, document in enumerate(documents, 1):
        job.ctx.check()
        start = time.monotonic()
        outcome, key = _parse_one(job, index, document)
        outcome.seconds = time.monotonic() - start
        outcomes.append(outcome)
        if key is not None:
            keys[index] = key
        job.progress.note(index, outcome.record["name"], "Finished", 1.0)
        if outcome.failed:
            job.tell_failure(index, outcome)
        error = verdict(outcomes, job.parameters, len(documents))
        if error is not None:
            return error
    return None


def _parse_one(job: Job, index: int, document: Document) -> tuple[Outcome, str | None]:
    task, problem = _make_task(job, index, document)
    outcome = Outcome(new_record(task))
    job.progress.note(index, task.name, "Reading" if document.url is None else "Fetching", 0.0)
    try:
        if problem is not None:
            raise DocumentError(problem.code, str(problem), stage="read")
        if document.url is None:
            _follow(job, task, outcome)
        else:
            task = parse_from_url(job, task, document.url, outcome.record, lambda task: _follow(job, task, outcome))
    except DocumentError as error:
        outcome.record.update(failure(error))
    job.artefacts.clear()
    return outcome, None if outcome.failed else task.key(outcome.record["sha256"])


def _follow(job: Job, task: Task, outcome: Outcome) -> None:
    """Let the document process work, and fill in the record with what it finds."""
    task_file = job.artefacts.work_file(task.index, "json")
    with storing():
        task.save(task_file)
    order = Order("parse", task_file, password=task.password)
    for message in job.process.run(order, job.parameters.document_timeout, job.ctx.check):
        if "progress" in message:
            job.progress.note(task.index, task.name, message["stage"], message["progress"])
        else:
            outcome.record.update(message["facts"] if "facts" in message else message["record"])


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

"""The job: each document in turn in a process of its own, then the artefacts and the result."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from importlib.util import find_spec

from worker.context import JobContext, PermanentError
from worker.jobs.document_processing.artefacts import PUBLISHED, Artefacts
from worker.jobs.document_processing.document_process import DocumentProcess
from worker.jobs.document_processing.errors import DocumentError
from worker.jobs.document_processing.manifest import make_manifest
from worker.jobs.document_processing.outcome import Outcome, summary, verdict
from worker.jobs.document_processing.parameters import Document, Parameters
from worker.jobs.document_processing.progress import Progress
from worker.jobs.document_processing.record import failure, new_record
from worker.jobs.document_processing.task import Limits, Task
from worker.jobs.shared.files import Record
from worker.jobs.shared.workspace import storing, workspace

_MODULES = (
    "chardetng_py",
    "html_to_markdown",
    "mammoth",
    "markdown_it",
    "pypdfium2",
    "semantic_text_splitter",
)


def run(ctx: JobContext, parameters: Parameters) -> dict[str, object]:
    """Process all documents and return the summary; the data is in the job's folder.

    Raises PermanentError `no_documents_parsed`, `document_failed` (fail_fast), `too_many_errors` (max_error_rate) or
    `missing_dependency`, StorageError and JobCancelled; after these two no artefact is left.
    """
    _require_libraries()
    started = datetime.now(UTC)
    with workspace(ctx, PUBLISHED) as work, DocumentProcess() as process:
        artefacts = Artefacts(work)
        artefacts.open()
        documents = _Documents(ctx, parameters, artefacts, process)
        error = documents.process_all()
        files = artefacts.entries()
        artefacts.publish(make_manifest(ctx, parameters, documents.outcomes, files, started))
    if error is not None:
        raise error
    documents.progress.finish()
    return summary(documents.outcomes, parameters)


def _require_libraries() -> None:
    missing = [name for name in _MODULES if find_spec(name) is None]
    if missing:
        message = f"{', '.join(missing)} is not installed; install the extra 'documents'."
        raise PermanentError("missing_dependency", message)


class _Documents:
    def __init__(self, ctx: JobContext, parameters: Parameters, artefacts: Artefacts, process: DocumentProcess) -> None:
        self.outcomes: list[Outcome] = []
        self.progress = Progress(ctx, len(parameters.documents))
        self._ctx = ctx
        self._parameters = parameters
        self._artefacts = artefacts
        self._process = process

    def process_all(self) -> PermanentError | None:
        """One after the other, until all are done or too many have failed: then the answer is the job's error."""
        for index, document in enumerate(self._parameters.documents, 1):
            self._ctx.check()
            self._process_one(index, document)
            error = verdict(self.outcomes, self._parameters)
            if error is not None:
                return error
        return None

    def _process_one(self, index: int, document: Document) -> None:
        start = time.monotonic()
        task = self._make_task(index, document)
        record = new_record(task)
        self.progress.note(index, task.name, "Reading", 0.0)
        try:
            self._follow(task, record)
        except DocumentError as error:
            record.update(failure(error))
        self._artefacts.take(index, record)
        self.outcomes.append(Outcome(record, time.monotonic() - start))
        self.progress.note(index, task.name, "Finished", 1.0)
        if (failed := self.outcomes[-1].record["error"]) is not None:
            # Neither its name nor the whole error: both may quote parameters.
            self._ctx.log.warning("a document failed", extra={"document": index, "error": failed["code"]})

    def _follow(self, task: Task, record: Record) -> None:
        """Let the document process work, and fill in `record` with what it finds."""
        task_file = self._artefacts.work_file(task.index, "json")
        with storing():
            task.save(task_file)
        timeout = self._parameters.document_timeout
        for message in self._process.run(task_file, task.password, timeout, self._ctx.check):
            if "progress" in message:
                self.progress.note(task.index, task.name, message["stage"], message["progress"])
            else:
                record.update(message["facts"] if "facts" in message else message["record"])

    def _make_task(self, index: int, document: Document) -> Task:
        given = self._parameters
        return Task(
            index=index,
            name=document.label,
            path=document.path,
            text=document.text,
            input_root=str(self._ctx.input_root),
            text_file=str(self._artefacts.work_file(index, "text")),
            chunks_file=str(self._artefacts.work_file(index, "chunks")),
            input_format=given.input_format,
            parser=given.parser,
            pages=given.pages,
            encoding=given.encoding,
            strip_boilerplate=given.strip_boilerplate,
            chunking=given.chunking(),
            limits=Limits(given.max_document_bytes, given.max_pages, given.max_characters),
            password=given.password,
        )

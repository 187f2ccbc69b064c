"""What the stages of the job share."""

from __future__ import annotations

from dataclasses import dataclass

from worker.context import JobContext
from worker.jobs.document_processing.artefacts import Artefacts
from worker.jobs.document_processing.document_process import DocumentProcess
from worker.jobs.document_processing.errors import DocumentError
from worker.jobs.document_processing.outcome import Outcome
from worker.jobs.document_processing.parameters import Parameters
from worker.jobs.document_processing.progress import Progress
from worker.jobs.document_processing.record import failure
from worker.jobs.shared.llm.session import Llm


@dataclass(frozen=True, slots=True)
class Job:
    """`llm`: in mode `llm`."""

    ctx: JobContext
    parameters: Parameters
    artefacts: Artefacts
    process: DocumentProcess
    progress: Progress
    llm: Llm | None = None

    def fail(self, number: int, outcome: Outcome, error: DocumentError) -> None:
        """`number`: of the document among all of the job, from 1."""
        outcome.record.update(failure(error))
        self.tell_failure(number, outcome)

    def tell_failure(self, number: int, outcome: Outcome) -> None:
        # Neither its name nor the whole error: both may quote parameters.
        code = outcome.record["error"]["code"]
        self.ctx.log.warning("a document failed", extra={"document": number, "error": code})

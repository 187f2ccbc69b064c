"""The job: documents to texts, texts to chunks, then the artefacts and the result."""

from __future__ import annotations

from datetime import UTC, datetime

from worker.context import JobContext
from worker.jobs.document_processing import progress
from worker.jobs.document_processing.artefacts import PARSED, PUBLISHED, Artefacts
from worker.jobs.document_processing.boilerplate_stage import finish_texts
from worker.jobs.document_processing.chunking import chunk_all, stop
from worker.jobs.document_processing.crew import Crew
from worker.jobs.document_processing.earlier import take_over
from worker.jobs.document_processing.manifest import make_manifest
from worker.jobs.document_processing.model import opened_model
from worker.jobs.document_processing.outcome import JobError, Outcome, summary, verdict
from worker.jobs.document_processing.parameters import Parameters
from worker.jobs.document_processing.parsing import parse_all
from worker.jobs.document_processing.stage import Job
from worker.jobs.shared.libraries import require
from worker.jobs.shared.workspace import workspace

_MODULES = (
    "chardetng_py",
    "cmarkgfm",
    "html_to_markdown",
    "mammoth",
    "pypdfium2",
    "semantic_text_splitter",
)
_PIPELINE_MODULES = {"semantic": ("sentencex", "sklearn"), "schema": ("regex",)}


def run(ctx: JobContext, parameters: Parameters) -> dict[str, object]:
    """Process all documents and return the summary; the data is in the job's folder.

    Raises `no_documents_parsed`, `document_failed` (fail_fast) or `too_many_errors` (max_error_rate): a RetryableError
    when another attempt may mend all that failed, else a PermanentError, as are `learning_failed`, `missing_dependency`
    and what the source of texts raises; in mode `llm` also what `open_llm` and `Llm.map` raise; StorageError and
    JobCancelled. Only after the first three artefacts are left.
    """
    require(_MODULES, "documents")
    require(_PIPELINE_MODULES.get(parameters.chunk_strategy, ()), "pipeline")
    started = datetime.now(UTC)
    told = progress.Progress(ctx)
    outcomes: list[Outcome] = []
    with (
        # Before anything is read: without its key, say, nothing comes of the job.
        opened_model(ctx, parameters) as llm,
        workspace(ctx, PUBLISHED, kept=PARSED) as work,
        Crew(ctx.processes, ctx.memory_limit_mb) as crew,
    ):
        artefacts = Artefacts(work)
        artefacts.open()
        error = _stages(Job(ctx, parameters, artefacts, crew, told, llm), outcomes)
        told.begin(progress.MANIFEST, len(outcomes))
        told.overall("Writing the manifest", 0.0)
        artefacts.add_documents(outcome.record for outcome in outcomes)
        artefacts.publish(make_manifest(ctx, parameters, outcomes, artefacts.entries(), started))
    if error is not None:
        raise error
    told.finish()
    return summary(outcomes, parameters, None if llm is None else llm.usage)


def _stages(job: Job, outcomes: list[Outcome]) -> JobError | None:
    """`outcomes` gets one for each document; the answer is the job's error."""
    error = _texts(job, outcomes) or chunk_all(job, outcomes)
    if error is not None:
        stop(outcomes)
    return error


def _texts(job: Job, outcomes: list[Outcome]) -> JobError | None:
    source = job.parameters.source
    if source is not None:
        outcomes += take_over(job, source)
        return verdict(outcomes, job.parameters, len(outcomes))
    keys: dict[int, str] = {}
    error = parse_all(job, outcomes, keys)
    if error is None:
        finish_texts(job, outcomes, keys)
    return error

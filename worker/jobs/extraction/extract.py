"""The stages of the job, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from worker.context import JobContext, PermanentError
from worker.jobs.extraction.artefacts import EXTRACTIONS, PUBLISHED, RELATIONS, publish_all
from worker.jobs.extraction.categories import Category, categories_of
from worker.jobs.extraction.entities import Entities
from worker.jobs.extraction.findings import Finding, Lines, Totals
from worker.jobs.extraction.load import Chunks
from worker.jobs.extraction.model import Chunk, Labeller, Labels
from worker.jobs.extraction.offline import OfflineLabeller
from worker.jobs.extraction.outcome import summary, warnings_of
from worker.jobs.extraction.parameters import Parameters
from worker.jobs.extraction.progress import EXTRACT, WRITE
from worker.jobs.extraction.relations import relations
from worker.jobs.extraction.validation import Validation
from worker.jobs.shared import reading
from worker.jobs.shared.errors import InputError
from worker.jobs.shared.files import FileEntry, JsonLines
from worker.jobs.shared.progress import Progress
from worker.jobs.shared.workspace import storing, workspace


def extract(ctx: JobContext, parameters: Parameters) -> dict[str, object]:
    """See `run`."""
    started = datetime.now(UTC)
    progress = Progress(ctx)
    with workspace(ctx, PUBLISHED) as work:
        categories = load_categories(ctx, parameters)
        chunks = Chunks(ctx, parameters, progress)
        entities = Entities(categories, parameters) if parameters.wants_entities else None
        labeller = OfflineLabeller(chunks, categories, parameters, progress)
        _check_profiles(labeller.uncovered, categories)
        extraction = _Extraction(categories, parameters, labeller, entities)
        files = [extraction.write(work / EXTRACTIONS, chunks, progress)]
        if parameters.infer_relations:
            files.append(_write_relations(work, chunks.count, progress))
        progress.note(WRITE, "Writing the manifest", chunks.count, 0.9)
        publish_all(ctx, work, parameters, files, chunks.count, started)
    cut_short = entities.patterns.cut_short if entities else 0
    warnings = list(warnings_of(chunks, labeller.uncovered, is_small=labeller.is_small, cut_short=cut_short))
    progress.finish()
    return summary(parameters, chunks, extraction.totals, labeller.uncovered, warnings)


def load_categories(ctx: JobContext, parameters: Parameters) -> list[Category]:
    """Raises PermanentError, see `categories_of`."""
    data = reading.taxonomy(ctx, parameters.taxonomy)
    try:
        return categories_of(data, parameters.selected_categories, parameters.extraction_depth)
    except InputError as error:
        raise PermanentError(error.code, str(error)) from None


def _check_profiles(uncovered: Sequence[Category], categories: Sequence[Category]) -> None:
    if len(uncovered) == len(categories):
        message = "No category has a word that occurs in the chunks; describe them in the words of the texts."
        raise PermanentError("empty_profile", message)


def _write_relations(work: Path, chunks: int, progress: Progress) -> FileEntry:
    progress.note(WRITE, "Looking for relations", chunks, 0.2)
    lines = JsonLines(work / RELATIONS)
    with storing():
        lines.add_all(relations(work / EXTRACTIONS, chunks))
    return lines.entry()


class _Extraction:
    def __init__(
        self,
        categories: Sequence[Category],
        parameters: Parameters,
        labeller: Labeller,
        entities: Entities | None,
    ) -> None:
        self.totals = Totals()
        self._parameters = parameters
        self._labeller = labeller
        self._entities = entities
        self._validation = Validation(categories) if parameters.enable_validation_stage else None
        self._lines = Lines(categories)

    def write(self, file: Path, chunks: Chunks, progress: Progress) -> FileEntry:
        lines = JsonLines(file)
        done = 0
        for batch in chunks.batches(self._parameters.batch_size):
            found = []
            for chunk, labels in zip(batch, self._labeller.label(batch), strict=True):
                of_chunk = self._lines.of(chunk, list(self._findings(chunk, labels)))
                self.totals.add(of_chunk)
                found += of_chunk
            with storing():
                lines.add_all(found)
            done += len(batch)
            progress.note(EXTRACT, "Extracting", done)
        return lines.entry()

    def _findings(self, chunk: Chunk, labels: Labels) -> Iterator[Finding]:
        found = self._texts(chunk, labels) if self._parameters.wants_texts else iter(())
        for finding in found:
            if finding.validated is not False or not self._parameters.only_validated:
                yield finding
        if self._entities is not None:
            yield from self._entities.find(chunk, labels.passing)

    def _texts(self, chunk: Chunk, labels: Labels) -> Iterator[Finding]:
        confirmed: Sequence[bool | None] = [None] * len(labels.spans)
        if self._validation is not None:
            confirmed = self._validation.check(chunk, labels.spans)
        for span, is_confirmed in zip(labels.spans, confirmed, strict=True):
            yield Finding(span.category, "whole_text", span.start, span.end, span.confidence, span.method, is_confirmed)

"""The stages of the job, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from worker.context import JobContext, PermanentError
from worker.jobs.extraction.artefacts import EXTRACTIONS, PUBLISHED, RELATIONS, publish_all
from worker.jobs.extraction.asking import asking
from worker.jobs.extraction.categories import Category, categories_of
from worker.jobs.extraction.entities import Entities
from worker.jobs.extraction.findings import Finding, Lines, Totals
from worker.jobs.extraction.llm_labels import LlmLabeller
from worker.jobs.extraction.load import Chunks
from worker.jobs.extraction.model import Chunk, Labeller, Labels
from worker.jobs.extraction.offline import OfflineLabeller
from worker.jobs.extraction.outcome import summary, warnings_of
from worker.jobs.extraction.parameters import Parameters
from worker.jobs.extraction.progress import EXTRACT, WRITE
from worker.jobs.extraction.relations import relations
from worker.jobs.extraction.validation import Validation, validation_of
from worker.jobs.shared import reading
from worker.jobs.shared.errors import InputError
from worker.jobs.shared.files import FileEntry, JsonLines
from worker.jobs.shared.progress import Progress
from worker.jobs.shared.word_counts import Counts
from worker.jobs.shared.workspace import storing, workspace


def extract(ctx: JobContext, parameters: Parameters) -> dict[str, object]:
    """See `run`."""
    started = datetime.now(UTC)
    progress = Progress(ctx)
    # Asking begins before anything is read: without its key, say, nothing comes of the job.
    with workspace(ctx, PUBLISHED) as work, asking(ctx, parameters, work, progress) as model:
        categories = load_categories(ctx, parameters)
        counts = Counts(work / "counts")
        chunks = Chunks(ctx, parameters, progress, counts)
        entities = Entities(categories, parameters) if parameters.wants_entities else None
        offline = OfflineLabeller(chunks, counts, categories, parameters, progress)
        _check_profiles(offline.uncovered, categories, parameters)
        labeller: Labeller = offline
        if model is not None:
            model.expect(chunks.count)
            labeller = LlmLabeller(model, offline, categories, parameters)
        validation = validation_of(parameters, categories, model)
        extraction = _Extraction(categories, parameters, labeller, validation, entities)
        files = [extraction.write(work / EXTRACTIONS, chunks, progress)]
        if model is not None:
            model.raise_if_nothing_came()
            files.append(model.failures.entry())
        if parameters.infer_relations:
            files.append(_write_relations(work, chunks.count, progress))
        progress.note(WRITE, "Writing the manifest", chunks.count, 0.9)
        publish_all(ctx, work, parameters, files, chunks.count, started)
    cut_short = entities.patterns.cut_short if entities else 0
    warnings = list(warnings_of(chunks, offline.uncovered, is_small=offline.is_small, cut_short=cut_short))
    progress.finish()
    return summary(parameters, chunks, extraction.totals, offline.uncovered, warnings, model)


def load_categories(ctx: JobContext, parameters: Parameters) -> list[Category]:
    """Raises PermanentError, see `categories_of` and `reading.taxonomy`."""
    root = reading.taxonomy(ctx, parameters.taxonomy, "taxonomy")
    try:
        return categories_of(root, parameters.selected_categories, parameters.extraction_depth)
    except InputError as error:
        raise PermanentError(error.code, str(error)) from None


def _check_profiles(uncovered: Sequence[Category], categories: Sequence[Category], parameters: Parameters) -> None:
    """A model can be asked about categories without a word of theirs, as long as it is asked about all of them; and
    patterns find what they find whatever the categories are."""
    asks_about_all = parameters.llm is not None and len(categories) <= parameters.prefilter
    needs_words = parameters.extraction_type != "entity" and not asks_about_all
    if len(uncovered) == len(categories) and needs_words:
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
        validation: Validation | None,
        entities: Entities | None,
    ) -> None:
        self.totals = Totals()
        self._parameters = parameters
        self._labeller = labeller
        self._entities = entities
        self._validation = validation
        self._lines = Lines(categories)

    def write(self, file: Path, chunks: Chunks, progress: Progress) -> FileEntry:
        lines = JsonLines(file)
        done = 0
        for batch in chunks.batches(self._parameters.batch_size):
            found = []
            labels = self._labeller.label(batch)
            self.totals.failed += sum(of_chunk.failed for of_chunk in labels)
            for chunk, of_chunk, confirmed in zip(batch, labels, self._confirmed(batch, labels), strict=True):
                new = self._lines.of(chunk, list(self._findings(chunk, of_chunk, confirmed)))
                self.totals.add(new)
                found += new
            with storing():
                lines.add_all(found)
            done += len(batch)
            progress.note(EXTRACT, "Extracting", done)
        return lines.entry()

    def _confirmed(self, batch: Sequence[Chunk], labels: Sequence[Labels]) -> Sequence[Sequence[bool | None]]:
        spans = [of_chunk.spans if self._parameters.wants_texts else [] for of_chunk in labels]
        if self._validation is None:
            return [[None] * len(of_chunk) for of_chunk in spans]
        return self._validation.check(list(zip(batch, spans, strict=True)))

    def _findings(self, chunk: Chunk, labels: Labels, confirmed: Sequence[bool | None]) -> Iterator[Finding]:
        if labels.failed:
            return
        # None are confirmed when texts are not wanted.
        for span, is_confirmed in zip(labels.spans, confirmed, strict=False):
            if is_confirmed or not self._parameters.only_validated:
                sure = span.confidence
                yield Finding(span.category, "whole_text", span.start, span.end, sure, span.method, is_confirmed)
        if self._entities is not None:
            yield from self._entities.find(chunk, labels.passing)

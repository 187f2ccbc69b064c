"""The stages of the job, one after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from worker.context import JobContext, PermanentError
from worker.jobs.dataset_generation.artefacts import PUBLISHED, publish_all, write_descriptions
from worker.jobs.dataset_generation.categories import named_categories, selected_of
from worker.jobs.dataset_generation.findings import Category, Findings
from worker.jobs.dataset_generation.generate import generate, made_by_crew, made_here
from worker.jobs.dataset_generation.load import Items
from worker.jobs.dataset_generation.making import Maker
from worker.jobs.dataset_generation.model import Generator
from worker.jobs.dataset_generation.modes import Split
from worker.jobs.dataset_generation.outcome import Asked, summary
from worker.jobs.dataset_generation.parameters import Parameters
from worker.jobs.dataset_generation.plan import Plan, make_plan
from worker.jobs.dataset_generation.progress import GENERATE, QUALITY, Progress
from worker.jobs.dataset_generation.quality import Quality
from worker.jobs.dataset_generation.rejected import Rejected
from worker.jobs.dataset_generation.rules import Rules
from worker.jobs.dataset_generation.separate import Separation
from worker.jobs.dataset_generation.spool import Spool
from worker.jobs.dataset_generation.work import FUNCTION, Worker
from worker.jobs.dataset_generation.write import SplitFile, write_all
from worker.jobs.dataset_generation.written import LlmGenerator
from worker.jobs.shared.crew import Crew
from worker.jobs.shared.failures import Failures
from worker.jobs.shared.llm.session import Llm, open_llm
from worker.jobs.shared.workspace import workspace


def build(ctx: JobContext, parameters: Parameters) -> dict[str, object]:
    """See `run`."""
    started = datetime.now(UTC)
    rules = Rules.of(parameters)
    maker = Maker(rules)
    plan = make_plan(ctx, parameters)
    with (
        workspace(ctx, PUBLISHED) as work,
        closing(Findings(work / "findings.db")) as findings,
        Spool(work) as spool,
        # Before anything is read: without its key, say, nothing comes of the job.
        _opened(ctx, parameters) as llm,
        Crew(FUNCTION, Worker().do, ctx.processes, ctx.memory_limit_mb, ctx.check) as crew,
    ):
        job = _Job(ctx, parameters, plan, work, spool, llm)
        job.fill(findings, rules, maker, crew)
        job.separate()
        files, quality = job.write(findings)
        job.publish(files, quality, started)
    job.progress.finish(sum(job.splits(files).values()))
    return summary(parameters, job.splits(files), job.rejected.counts(), quality, files, job.asked(), job.texts)


def _opened(ctx: JobContext, parameters: Parameters) -> AbstractContextManager[Llm | None]:
    return nullcontext() if parameters.llm_used is None else open_llm(ctx, parameters.llm_used)


# So many items are worked on at a time.
OFFLINE_BATCH: Final = 200


class _Job:
    def __init__(
        self, ctx: JobContext, parameters: Parameters, plan: Plan, work: Path, spool: Spool, llm: Llm | None
    ) -> None:
        self._ctx = ctx
        self._parameters = parameters
        self._plan = plan
        self._work = work
        self._spool = spool
        self._llm = llm
        self._failures = None if llm is None else Failures(work)
        self._named = named_categories(ctx, parameters.taxonomy)
        self._leaked = 0
        self.texts = 0
        self._near_duplicates = 0
        self.progress = Progress(ctx)
        self.rejected = Rejected(work)

    def fill(self, findings: Findings, rules: Rules, maker: Maker, crew: Crew) -> None:
        """Raises PermanentError when no record can be made."""
        given = self._parameters
        items = Items(self._ctx, given, self._plan, findings, self._named)
        items.load(self.progress, crew, self._work, OFFLINE_BATCH if self._llm is None else given.batch_size)
        self.texts = items.count
        model = self._model(items)
        steps = made_by_crew(items, rules, crew, self._work) if model is None else made_here(items, model, maker)
        generate(steps, items.count, self._spool, self.rejected, self.progress)
        if self._llm is not None:
            self._llm.raise_if_nothing_came()
        if not len(self._spool):
            text = _nothing_made(items.count, self.rejected.counts(), is_written=self._llm is not None)
            raise PermanentError("no_records", text)

    def _model(self, items: Items) -> Generator | None:
        if self._llm is None or self._failures is None:
            return None
        self._llm.most_failures = self._parameters.most_failures(items.count)

        def note(done: int) -> None:
            self.progress.note(GENERATE, "Asking the model", done, items.count)

        return LlmGenerator(self._llm, self._parameters, items.weights, self._failures, note)

    def separate(self) -> None:
        """Take out what is there twice, then put the rest into splits that have nothing in common."""
        separation = Separation(self._spool, self._parameters, self.progress)
        separation.deduplicate()
        self._leaked = separation.split()
        self._near_duplicates = separation.duplicates_left()

    def write(self, findings: Findings) -> tuple[list[SplitFile], dict[str, Any] | None]:
        """Raises PermanentError `quality_threshold_not_met`."""
        given = self._parameters
        quality = Quality(self._possible(findings.categories)) if given.analyze_quality else None
        files = write_all(self._spool, given, self._work, self.rejected, quality, self.progress)
        if quality is None:
            return files, None
        self.progress.note(QUALITY, "Measuring the quality", quality.count, quality.count, (0.0, 0.5))
        value = quality.value(given.quality_threshold, self._near_duplicates, self._leaked)
        if given.fail_below_quality and not value["passed"]:
            raise PermanentError("quality_threshold_not_met", _too_low(value))
        return files, value

    def publish(self, files: Sequence[SplitFile], quality: dict[str, Any] | None, started: datetime) -> None:
        counts = self.rejected.counts()
        described = write_descriptions(self._work, self._parameters, self.splits(files), counts, quality)
        entries = [*(file.entry for file in files), *described, self.rejected.entry()]
        if self._failures is not None:
            entries.append(self._failures.entry())
        publish_all(self._ctx, self._work, self._parameters, self._plan, entries, started)

    def splits(self, files: Sequence[SplitFile]) -> dict[Split, int]:
        return {file.split: file.entry.records for file in files}

    def asked(self) -> Asked | None:
        """None when no model was asked."""
        if self._llm is None or self._failures is None:
            return None
        self._llm.usage.ungrounded_dropped = self.rejected.counts()["ungrounded"]
        return Asked(self._llm.usage, self._failures)

    def _possible(self, found: Sequence[Category]) -> set[str]:
        """The categories that a record can have."""
        if not self._plan.has_labels:
            return set()
        categories = self._named or [category for category in found if not category.id.startswith("entity:")]
        wanted = self._parameters.selected_categories
        if wanted is not None:
            tops = selected_of(wanted, [*self._named, *found])
            categories = [category for category in categories if category.is_below(tops)]
        return {"/".join(category.path) for category in categories}


def _nothing_made(items: int, rejected: Mapping[str, int], *, is_written: bool) -> str:
    reasons = ", ".join(f"{count} {reason}" for reason, count in Counter(rejected).most_common() if count)
    empty = "the model wrote none" if is_written else "they have too few sentences or headings"
    told = f"all that was made of them was refused: {reasons}" if reasons else empty
    return f"No record can be made of the {items} texts: {told}."


def _too_low(quality: Mapping[str, Any]) -> str:
    return f"The quality is {quality['overall']:g}, below the quality_threshold of {quality['threshold']:g}."

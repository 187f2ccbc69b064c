"""The job, once its libraries are there: from chunks to the files."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np

from worker.context import JobContext
from worker.jobs.shared.files import FileEntry, JsonLines, entry_of, json_file
from worker.jobs.shared.manifest import SCHEMA_VERSION, make_manifest
from worker.jobs.shared.progress import Progress
from worker.jobs.shared.reading import TAXONOMY
from worker.jobs.shared.workspace import publish, storing, workspace
from worker.jobs.taxonomy_processing import given
from worker.jobs.taxonomy_processing.artefacts import ASSIGNMENTS, PUBLISHED, Assignments, node_of
from worker.jobs.taxonomy_processing.corpus import Corpus
from worker.jobs.taxonomy_processing.llm_names import llm_namer
from worker.jobs.taxonomy_processing.measures import Measures, measure
from worker.jobs.taxonomy_processing.names import Namer
from worker.jobs.taxonomy_processing.outcome import summary, warnings_of
from worker.jobs.taxonomy_processing.parameters import Parameters
from worker.jobs.taxonomy_processing.progress import GROW, NAME, WITH_MODEL, WRITE
from worker.jobs.taxonomy_processing.tree import Category, Grower
from worker.jobs.taxonomy_processing.vectors import Space
from worker.jobs.taxonomy_processing.words import language_of, stop_words

_LEAST: Final = 5
_LINES: Final = 5000
_LEAST_SHARE: Final = 0.005
_LIBRARIES: Final = ("numpy", "rapidfuzz", "rensa", "scikit-learn", "scipy", "sentencex")


def build(ctx: JobContext, parameters: Parameters) -> dict[str, object]:
    started = datetime.now(UTC)
    progress = Progress(ctx, None if parameters.llm is None else WITH_MODEL)
    beginning = given.load(ctx, parameters)
    # Asking begins before chunks are read: without its key, say, nothing comes of the job.
    with workspace(ctx, PUBLISHED) as work, llm_namer(ctx, parameters, work, progress) as model:
        corpus = Corpus(ctx, parameters, progress)
        language = language_of(corpus.texts()) if parameters.language == "auto" else parameters.language
        space = Space(corpus, stop_words(language, corpus.texts()), parameters.seed, progress)
        root = Category(np.arange(len(corpus.numbers)))
        if beginning is not None:
            root.name, root.description = beginning.name, beginning.description
            given.fill(space, root, beginning)
        has_grown = _grow(space, root, parameters, progress)
        namer = Namer(space, corpus, root)
        progress.note(NAME, "Naming categories", 0)
        namer.name_all()
        if model is not None:
            model.name_all(root, namer)
        measures = measure(space, root, parameters.seed)
        assignments = Assignments(space, root)
        taxonomy = _taxonomy(root, namer, parameters, corpus, measures)
        progress.note(WRITE, "Writing", progress.total)
        files = _write(work, taxonomy, assignments, corpus)
        if model is not None:
            files.append(model.failures.entry())
        _publish(ctx, work, parameters, files, corpus, started)
    progress.finish()
    is_divided = has_grown or parameters.base_taxonomy is not None
    warnings = list(warnings_of(corpus, language, model, is_divided=is_divided))
    return summary(taxonomy, corpus, assignments.unassigned, measures, warnings, model)


def _grow(space: Space, root: Category, parameters: Parameters, progress: Progress) -> bool:
    """New categories: everywhere, below the lowest of those that were given, or nowhere. Whether there are any."""
    count = len(root.members)
    least = parameters.min_category_size or max(_LEAST, round(_LEAST_SHARE * count))
    grower = Grower(
        space,
        parameters.limits,
        least,
        parameters.keywords_per_category,
        parameters.seed,
        lambda done: progress.note(GROW, "Finding categories", done),
    )
    if not root.children:
        grower.grow(root)
        return bool(root.children)
    _label_given(grower, root)
    leaves = [] if parameters.extend_taxonomy is None else _leaves(root)
    for level, leaf in leaves:
        grower.grow(leaf, level)
    return any(leaf.children for _, leaf in leaves)


def _label_given(grower: Grower, parent: Category) -> None:
    grower.label(parent.children, parent)
    for child in parent.children:
        _label_given(grower, child)


def _leaves(parent: Category, level: int = 0) -> list[tuple[int, Category]]:
    if not parent.children:
        return [(level, parent)]
    return [leaf for child in parent.children for leaf in _leaves(child, level + 1)]


def _taxonomy(
    root: Category, namer: Namer, parameters: Parameters, corpus: Corpus, measures: Measures
) -> dict[str, Any]:
    name = parameters.name or root.name or "Taxonomy"
    root.name, root.description = name, parameters.description or root.description
    return {
        "schema_version": SCHEMA_VERSION,
        "name": name,
        "description": root.description,
        "mode": parameters.mode,
        "taxonomy": node_of(root, (), namer),
        "metadata": {"project_id": parameters.project_id, "domain": parameters.domain, "depth": parameters.depth},
        "analytics": {"total_chunks": corpus.total, "chunks_used": len(corpus.numbers), **measures.to_json()},
    }


def _write(work: Path, taxonomy: dict[str, Any], assignments: Assignments, corpus: Corpus) -> list[FileEntry]:
    with storing():
        (work / TAXONOMY).write_bytes(json_file(taxonomy))
        (work / ASSIGNMENTS).touch()
        lines = JsonLines(work / ASSIGNMENTS)
        records = assignments.records(corpus)
        while batch := list(islice(records, _LINES)):
            lines.add_all(batch)
        return [entry_of(work / TAXONOMY, TAXONOMY), lines.entry()]


def _publish(
    ctx: JobContext, work: Path, parameters: Parameters, files: list[FileEntry], corpus: Corpus, started: datetime
) -> None:
    base, extend = parameters.base_taxonomy, parameters.extend_taxonomy
    sources = {"source": parameters.source, "base_taxonomy": base, "extend_taxonomy": extend}
    inputs: list[dict[str, object]] = [
        {"parameter": name, "job_id": source.job_id, "path": source.path}
        for name, source in sources.items()
        if source is not None
    ]
    inputs[0]["chunks"] = corpus.total
    manifest = make_manifest(
        ctx,
        "taxonomy_processing",
        parameters=parameters.as_used(),
        seed=parameters.seed,
        libraries=_LIBRARIES if parameters.llm is None else (*_LIBRARIES, "openai"),
        inputs=inputs,
        files=files,
        started=started,
    )
    publish(work, [entry.path for entry in files], manifest)

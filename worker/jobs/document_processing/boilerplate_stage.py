"""Stage 3: the texts get their final form, without the lines that many of them repeat, and their place."""

from __future__ import annotations

import shutil
from dataclasses import asdict

from worker.jobs.document_processing import finished, progress, repeated
from worker.jobs.document_processing.marks import Marks
from worker.jobs.document_processing.outcome import Outcome
from worker.jobs.document_processing.parsed import Notice
from worker.jobs.document_processing.record import PARSED
from worker.jobs.document_processing.stage import Job
from worker.jobs.shared.workspace import storing


def finish_texts(job: Job, outcomes: list[Outcome], keys: dict[int, str]) -> None:
    """`keys`: as `parse_all` leaves them. Raises StorageError."""
    parsed = [(outcome, keys[n]) for n, outcome in enumerate(outcomes, 1) if outcome.record["status"] == PARSED]
    strip = job.parameters.strip_boilerplate and len(parsed) >= repeated.FEWEST_DOCUMENTS
    # Each text is looked at twice then.
    job.progress.begin(progress.BOILERPLATE, len(parsed))
    forms = _repeated_lines(job, parsed) if strip else set()
    for number, (outcome, key) in enumerate(parsed, 1):
        job.ctx.check()
        _finish(job, outcome, key, forms)
        done = 0.5 + number / len(parsed) / 2 if strip else number / len(parsed)
        job.progress.overall("Removing repeated lines" if strip else "Storing texts", done)


def _repeated_lines(job: Job, parsed: list[tuple[Outcome, str]]) -> set[int]:
    files = []
    for number, (outcome, key) in enumerate(parsed, 1):
        job.ctx.check()
        text, marks = _load(job, key)
        file = job.artefacts.lines_file(outcome.record)
        with storing():
            repeated.save(repeated.forms_of(text, marks), file)
        files.append(file)
        job.progress.overall("Looking for repeated lines", number / len(parsed) / 2)
    with storing():
        return repeated.repeated(files)


def _finish(job: Job, outcome: Outcome, key: str, forms: set[int]) -> None:
    record = outcome.record
    if not forms:
        with storing():
            shutil.copyfile(finished.text_file(job.artefacts.parsed, key), job.artefacts.text_file(record))
            Marks.load(finished.marks_file(job.artefacts.parsed, key)).save(job.artefacts.marks_file(record))
        return
    text, marks, count = repeated.without(*_load(job, key), forms)
    with storing():
        job.artefacts.text_file(record).write_bytes(text.encode("utf-8"))
        marks.save(job.artefacts.marks_file(record))
    if count:
        record["characters"] = len(text)
        message = f"{count} lines that many of the job's documents repeat were left out; see strip_boilerplate."
        record["warnings"] = [*record["warnings"], asdict(Notice("repeated_lines_removed", message, count))]


def _load(job: Job, key: str) -> tuple[str, Marks]:
    with storing():
        text = finished.text_file(job.artefacts.parsed, key).read_bytes().decode("utf-8")
        return text, Marks.load(finished.marks_file(job.artefacts.parsed, key))

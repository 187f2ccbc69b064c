"""Documents by their address: fetched to a file of the job and parsed from there; not again once that is done."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import IO

from worker.jobs.document_processing import finished
from worker.jobs.document_processing.charset import text_encoding
from worker.jobs.document_processing.errors import DocumentError
from worker.jobs.document_processing.record import failure, identity_of
from worker.jobs.document_processing.stage import Job
from worker.jobs.document_processing.task import Task
from worker.jobs.shared.files import Record
from worker.jobs.shared.input_files import too_large
from worker.jobs.shared.workspace import storing


def bring(job: Job, task: Task, url: str) -> tuple[Task, Record | None]:
    """The task with its file in place, and the document's record where nothing is left to be done.

    That is so when an earlier execution has parsed it, and when it does not come. Raises StorageError and what the
    job's `check` raises.
    """
    earlier = _earlier(_note(job, url), task)
    if earlier is not None:
        return earlier
    try:
        return _fetched(job, task, url), None
    except DocumentError as error:
        return task, failure(error)


def keep_note(job: Job, task: Task, record: Record) -> None:
    """So that a later execution knows what was behind the address, if the document has one. Raises StorageError."""
    if "url" not in task.source:
        return
    note = _note(job, task.source["url"])
    known = {"sha256": record["sha256"], "bytes": record["bytes"], "charset": task.charset}
    partial = note.with_suffix(".partial")
    with storing():
        partial.write_text(json.dumps(known), "utf-8")
        partial.replace(note)


def _note(job: Job, url: str) -> Path:
    return job.artefacts.parsed / f"url-{hashlib.sha256(url.encode()).hexdigest()}.json"


def _earlier(note: Path, task: Task) -> tuple[Task, Record] | None:
    """The task as it was done and what the record says then, or None."""
    try:
        known = json.loads(note.read_text("utf-8"))
        task = replace(task, charset=known["charset"])
        facts = finished.find(task, task.key(known["sha256"]))
        return None if facts is None else (task, identity_of(task, known["sha256"], known["bytes"]) | facts)
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _fetched(job: Job, task: Task, url: str) -> Task:
    """The task with the file in its place."""
    # Only now: most jobs fetch nothing.
    from worker.jobs.document_processing.fetch import Wanted, fetch

    rules, file = job.ctx.url_rules, job.artefacts.work_file(task.index, "fetched")
    partial = file.with_suffix(".partial")
    # What the network does never gets here as an OSError; closing the file may.
    with storing(), partial.open("wb") as target:
        size = _Size(task.limits.bytes, rules.max_bytes)
        wanted = Wanted(
            url,
            rules,
            seconds=min(rules.timeout_seconds, job.parameters.document_timeout),
            refuse_larger=size.refuse_larger,
            take=lambda piece: _write(target, piece, size),
            check=lambda: _tend(job),
        )
        charset = fetch(wanted)
    with storing():
        partial.replace(file)
    known = charset if charset and text_encoding(charset) else None
    return replace(task, path=file.name, input_root=str(file.parent), charset=known)


def _tend(job: Job) -> None:
    """Other documents are being parsed meanwhile."""
    job.ctx.check()
    job.crew.listen()


def _write(target: IO[bytes], piece: bytes, size: _Size) -> None:
    size.add(len(piece))
    # Here too: inside of `fetch` an OSError would be the server's.
    with storing():
        target.write(piece)


class _Size:
    """Counts, and refuses what is larger than the job or the operator wants it."""

    def __init__(self, of_job: int, of_operator: int) -> None:
        self._of_job = of_job
        self._of_operator = of_operator
        self._size = 0

    def add(self, count: int) -> None:
        self._size += count
        self.refuse_larger(self._size)

    def refuse_larger(self, size: int) -> None:
        if size <= min(self._of_job, self._of_operator):
            return
        error = too_large(self._of_job)
        message = str(error)
        if self._of_operator < self._of_job:
            message = f"The document is larger than those that the operator lets in ({self._of_operator:,} bytes)."
        raise DocumentError(error.code, message, stage="fetch")

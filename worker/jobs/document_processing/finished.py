"""Finished parses: a text and what is known of it, by the hash of the content and of the way in which it was read.

Whoever is killed while writing leaves nothing that looks finished, and a later execution of the job finds them.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from worker.jobs.document_processing.marks import Marks
from worker.jobs.document_processing.task import Task
from worker.jobs.shared.files import Record
from worker.jobs.shared.workspace import storing

_HASH = "text_sha256"


def text_file(folder: Path, key: str) -> Path:
    return folder / f"{key}.text"


def marks_file(folder: Path, key: str) -> Path:
    return folder / f"{key}.json"


def keep(task: Task, key: str, text: str, marks: Marks, facts: Record) -> None:
    """`facts`: what the record of the document says after parsing. Raises StorageError."""
    data = text.encode("utf-8")
    known = marks.to_record() | {"facts": facts, _HASH: hashlib.sha256(data).hexdigest()}
    with storing():
        Path(task.text_file).write_bytes(data)
        Path(task.marks_file).write_text(json.dumps(known), "utf-8")
        Path(task.text_file).replace(text_file(Path(task.folder), key))
        # The last: it tells that both are complete.
        Path(task.marks_file).replace(marks_file(Path(task.folder), key))


def find(task: Task, key: str) -> Record | None:
    """The facts of an earlier parse that is whole, or None."""
    folder = Path(task.folder)
    try:
        known: dict[str, Any] = json.loads(marks_file(folder, key).read_text("utf-8"))
        text = text_file(folder, key).read_bytes()
    except (OSError, ValueError):
        return None
    whole = isinstance(known, dict) and known.get(_HASH) == hashlib.sha256(text).hexdigest()
    return known["facts"] if whole else None

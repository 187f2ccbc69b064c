"""The line of one document in `documents.jsonl`, on both sides of the process border."""

from __future__ import annotations

import hashlib
from typing import Final

from worker.jobs.document_processing.errors import DocumentError
from worker.jobs.document_processing.parsed import Parsed
from worker.jobs.document_processing.task import Task
from worker.jobs.shared.files import Record

# Never published: by then the document is completed or has failed.
PARSED: Final = "parsed"


def new_record(task: Task) -> Record:
    """All fields, with what is known before the document is opened."""
    return {
        "document_id": _document_id(task.index, hashlib.sha256(task.name.encode()).hexdigest()),
        "name": task.name,
        "source": task.source,
        "sha256": None,
        "bytes": None,
        "type": None,
        "media_type": None,
        "parser": None,
        "encoding": None,
        "pages": None,
        "characters": 0,
        "chunks": 0,
        "status": "failed",
        "error": None,
        "warnings": [],
        "text_file": None,
        "page_starts": None,
        "headings": [],
    }


def identity(task: Task, data: bytes) -> Record:
    return identity_of(task, hashlib.sha256(data).hexdigest(), len(data))


def identity_of(task: Task, digest: str, size: int) -> Record:
    return {"document_id": _document_id(task.index, digest), "sha256": digest, "bytes": size}


def success(parsed: Parsed) -> Record:
    """What parsing tells. The document is not completed before its text is cut."""
    return {
        "type": parsed.type,
        "media_type": parsed.media_type,
        "parser": parsed.parser,
        "encoding": parsed.encoding,
        "pages": parsed.pages,
        "characters": len(parsed.text),
        "status": PARSED,
    }


def text_name(document_id: object) -> str:
    """Of the text among the job's files."""
    return f"text/{document_id}.md"


def failure(error: DocumentError) -> Record:
    return {"status": "failed", "error": error.to_json()}


def _document_id(index: int, digest: str) -> str:
    """Tells equal documents of one job apart, and stays the same as long as their order does."""
    return f"{index:04d}-{digest[:12]}"

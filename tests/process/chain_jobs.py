"""Four small job types that leave what those of a real chain leave, one word for each thing."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from worker.context import JobContext, PermanentError
from worker.jobs.shared.files import JsonLines, entry_of, json_file
from worker.jobs.shared.manifest import make_manifest
from worker.jobs.shared.source import SourceJob
from worker.jobs.shared.workspace import publish, workspace

ENTRIES = "".join(
    f"""
[job_types.{name}]
function = "chain_jobs:{function}"
parameters = "chain_jobs:{model}"
"""
    for name, function, model in (
        ("document_processing", "documents", "Documents"),
        ("taxonomy_processing", "taxonomy", "Reads"),
        ("extraction", "extraction", "Reads"),
        ("dataset_generation", "dataset", "Reads"),
    )
)


class Named(BaseModel):
    model_config = ConfigDict(extra="forbid")

    file_id: str


class Documents(BaseModel):
    documents: list[Named]

    @property
    def file_ids(self) -> tuple[tuple[tuple[str | int, ...], str], ...]:
        return tuple((("documents", n, "file_id"), document.file_id) for n, document in enumerate(self.documents))


class Source(BaseModel):
    model_config = ConfigDict(extra="forbid")

    job_id: str


class Reads(BaseModel):
    source: Source
    taxonomy: Source | None = None

    @property
    def source_jobs(self) -> tuple[SourceJob, ...]:
        types = ("document_processing", "taxonomy_processing", "extraction")
        named = (("source", self.source), ("taxonomy", self.taxonomy))
        return tuple(SourceJob((name, "job_id"), source.job_id, types) for name, source in named if source is not None)


def documents(ctx: JobContext, parameters: Documents) -> dict[str, object]:
    user = hashlib.sha256(ctx.user_id.encode()).hexdigest()[:32]
    rows, chunks = [], []
    for document in parameters.documents:
        (file,) = (ctx.input_root / "uploads" / user / document.file_id).iterdir()
        words = file.read_text().split()
        chunks += [{"text": word} for word in words]
        error = None if words else "empty_file"
        rows.append(
            {"name": file.name, "type": "text", "pages": None, "chunks": len(words), "error": error, "seconds": 0.1}
        )
    if not chunks:
        raise PermanentError("no_documents_parsed", "None of the documents could be read.")
    _leave(ctx, "document_processing", {"chunks.jsonl": chunks})
    failed = sum(row["error"] is not None for row in rows)
    errors = [{"name": row["name"], "message": "There is nothing in it."} for row in rows if row["error"]]
    return {"documents": rows, "failed_documents": failed, "errors": errors}


def taxonomy(ctx: JobContext, parameters: Reads) -> dict[str, object]:
    words = sorted({chunk["text"] for chunk in _read(ctx, parameters.source, "chunks.jsonl")})
    nodes = [{"name": word, "size": 1, "keywords": [{"term": word, "weight": 1.0}], "children": []} for word in words]
    _leave(ctx, "taxonomy_processing", {"taxonomy.json": {"name": "words", "taxonomy": {"children": nodes}}})
    return {"categories_count": len(words)}


def extraction(ctx: JobContext, parameters: Reads) -> dict[str, object]:
    found = [
        {"text": chunk["text"], "category": chunk["text"]} for chunk in _read(ctx, parameters.source, "chunks.jsonl")
    ]
    _leave(ctx, "extraction", {"extractions.jsonl": found})
    return {"by_category": Counter(each["category"] for each in found)}


def dataset(ctx: JobContext, parameters: Reads) -> dict[str, object]:
    records = [
        {"instruction": "Say", "output": each["text"]} for each in _read(ctx, parameters.source, "extractions.jsonl")
    ]
    _leave(ctx, "dataset_generation", {"train.jsonl": records})
    return {"splits": {"train": len(records)}, "quality": {"overall": 1.0, "passed": True}}


def _read(ctx: JobContext, source: Source, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (ctx.folder.parent / source.job_id / name).read_text().splitlines()]


def _leave(ctx: JobContext, job_type: str, files: Mapping[str, Any]) -> None:
    ctx.progress(0.5, step="halfway")
    with workspace(ctx, list(files)) as work:
        entries = [_write(work / name, content) for name, content in files.items()]
        manifest = make_manifest(
            ctx, job_type, parameters={}, seed=None, libraries=(), inputs=(), files=entries, started=datetime.now(UTC)
        )
        publish(work, list(files), manifest)


def _write(file: Path, content: dict[str, Any] | Iterable[dict[str, Any]]) -> Any:
    if isinstance(content, dict):
        file.write_bytes(json_file(content))
        return entry_of(file, file.name)
    lines = JsonLines(file)
    lines.add_all(content)
    return lines.entry()

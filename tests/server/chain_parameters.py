"""Parameter models of a chain of four job types, as the server sees them: small, and by duck typing."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

CHAIN_TYPES = "".join(
    f"""
[job_types.{name}]
function = "chain_parameters:run"
parameters = "chain_parameters:{model}"
"""
    for name, model in {
        "document_processing": "Documents",
        "taxonomy_processing": "Taxonomy",
        "extraction": "Extraction",
        "dataset_generation": "Dataset",
    }.items()
)
STAGES = ("document_processing", "taxonomy_processing", "extraction", "dataset_generation")


class Source(BaseModel):
    model_config = ConfigDict(extra="forbid")

    job_id: str | None = None
    path: str | None = None
    taxonomy: dict[str, Any] | None = None


class Document(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: str | None = None
    file_id: str | None = None


class _Stage(BaseModel):
    model_config = ConfigDict(extra="forbid")
    reads: ClassVar[dict[str, tuple[str, ...]]] = {}

    seed: int = Field(42, ge=0)

    @property
    def source_jobs(self) -> tuple[tuple[tuple[str, str], str, tuple[str, ...]], ...]:
        named = [(name, getattr(self, name), types) for name, types in self.reads.items()]
        return tuple(
            ((name, "job_id"), source.job_id, types)
            for name, source, types in named
            if source is not None and source.job_id is not None
        )


class Documents(_Stage):
    documents: list[Document] = []
    name: str | None = None

    @property
    def file_ids(self) -> tuple[tuple[tuple[str | int, ...], str], ...]:
        return tuple(
            (("documents", index, "file_id"), document.file_id)
            for index, document in enumerate(self.documents)
            if document.file_id is not None
        )


class Taxonomy(_Stage):
    reads = {"source": ("document_processing",)}

    source: Source | None = None
    project_id: str | None = None
    name: str | None = None


class Extraction(_Stage):
    reads = {"source": ("document_processing",), "taxonomy": ("taxonomy_processing",)}

    source: Source | None = None
    taxonomy: Source | None = None
    project_id: str | None = None


class Dataset(_Stage):
    reads = {"source": ("extraction", "document_processing"), "taxonomy": ("taxonomy_processing",)}

    source: Source | None = None
    taxonomy: Source | None = None
    name: str | None = None

"""Where a job's input comes from: an earlier job, a file of the input folder, or the request itself.

Light: the server checks these at submit. There a model's `source_jobs` tells which jobs the new one waits for, and its
`check_inputs` what is wrong with the files.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, ClassVar, Final, NamedTuple, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from worker.jobs.shared.input_files import TOO_LARGE, find_source_problem
from worker.jobs.shared.refusals import Location as Location
from worker.jobs.shared.refusals import Mistake, first_of, refused
from worker.jobs.shared.taxonomy import TaxonomyError, root_of
from worker.jobs.shared.uploads import lies_in_uploads

Problem = tuple[Location, str]

# What came with a request is kept in its job's record.
MOST_INLINE_BYTES: Final = 1024 * 1024

JobId = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,255}$")]


def _relative(path: str) -> str:
    if PurePosixPath(path).is_absolute():
        raise ValueError("must be relative to the input folder")
    if lies_in_uploads(path):
        raise ValueError("must not lead into 'uploads', where the files of all users lie")
    return str(PurePosixPath(path))


FilePath = Annotated[str, Field(min_length=1, max_length=1024), AfterValidator(_relative)]


class SourceJob(NamedTuple):
    """`location`: in the parameters; `job_types`: of which the job must be one."""

    location: Location
    job_id: str
    job_types: tuple[str, ...]


class Source(BaseModel):
    """Exactly one of `job_id`, `path` and the field named by `inline`.

    Subclasses name their inline field, the job types whose artefact they read, and the size of the largest file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    inline: ClassVar[str | None] = None
    job_types: ClassVar[tuple[str, ...]] = ()
    most_bytes: ClassVar[int] = 2 * 1024**3

    job_id: JobId | None = None
    path: FilePath | None = None

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        names = ["job_id", "path", *([self.inline] if self.inline else [])]
        if sum(getattr(self, name) is not None for name in names) != 1:
            raise ValueError(f"give exactly one of {', '.join(names)}")
        if self.inline and getattr(self, self.inline) is not None:
            self._check_size(self.inline)
        return self

    def _check_size(self, inline: str) -> None:
        if len(self.model_dump_json(include={inline}, exclude_unset=True).encode()) > MOST_INLINE_BYTES:
            text = (
                f"is larger than {MOST_INLINE_BYTES:,} bytes; put it into a file of the input folder and give its path"
            )
            raise refused([Mistake(TOO_LARGE, (inline,), text)])


class InlineChunk(BaseModel):
    """A chunk in the request itself; ids are made when they are not given."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: Annotated[str, Field(min_length=1)]
    chunk_id: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    document_id: Annotated[str, Field(min_length=1, max_length=255)] | None = None


class ChunksSource(Source):
    """`chunks.jsonl` of a document_processing job, a file of the same form, or chunks."""

    inline: ClassVar[str | None] = "chunks"
    job_types: ClassVar[tuple[str, ...]] = ("document_processing",)

    chunks: Annotated[list[InlineChunk], Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _check_ids(self) -> Self:
        mistakes = first_of(self._repeated())
        if mistakes:
            raise refused(mistakes)
        return self

    def _repeated(self) -> Iterator[Mistake]:
        seen: set[str] = set()
        for number, (chunk_id, _, _) in enumerate(self.inline_chunks()):
            if chunk_id in seen:
                text = f"there are two chunks '{chunk_id[:200]}'"
                yield Mistake("schema_mismatch", ("chunks", number, "chunk_id"), text)
            seen.add(chunk_id)

    def inline_chunks(self) -> Iterator[tuple[str, str, str]]:
        """Chunk id, document id and text of those that came with the request."""
        for number, chunk in enumerate(self.chunks or ()):
            document_id = chunk.document_id or "inline"
            yield chunk.chunk_id or f"{document_id}:{number}", document_id, chunk.text


def _check_taxonomy(data: dict[str, Any]) -> dict[str, Any]:
    try:
        root_of(data)
    except TaxonomyError as error:
        raise refused(error.mistakes) from None
    return data


class TaxonomySource(Source):
    """`taxonomy.json` of a taxonomy_processing job, a file of the same form, or the taxonomy."""

    inline: ClassVar[str | None] = "taxonomy"
    job_types: ClassVar[tuple[str, ...]] = ("taxonomy_processing",)
    most_bytes: ClassVar[int] = 64 * 1024 * 1024

    taxonomy: Annotated[dict[str, Any], AfterValidator(_check_taxonomy)] | None = None


class InlineExtraction(BaseModel):
    """An extraction in the request itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: Annotated[str, Field(min_length=1)]
    category_path: Annotated[list[Annotated[str, Field(min_length=1, max_length=255)]], Field(min_length=1)]
    category_id: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    chunk_id: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    document_id: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    type: Annotated[str, Field(min_length=1, max_length=255)] = "whole_text"
    confidence: Annotated[float, Field(ge=0, le=1)] = 1.0
    validated: bool | None = None


class ExtractionsSource(Source):
    """`extractions.jsonl` of an extraction job, a file of the same form, or extractions."""

    inline: ClassVar[str | None] = "extractions"
    job_types: ClassVar[tuple[str, ...]] = ("extraction",)

    extractions: Annotated[list[InlineExtraction], Field(min_length=1)] | None = None


class InlineAssignment(BaseModel):
    """Which category a chunk belongs to, in the request itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    chunk_id: Annotated[str, Field(min_length=1, max_length=255)]
    path: Annotated[list[Annotated[str, Field(min_length=1, max_length=255)]], Field(min_length=1)]
    category_id: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    similarity: Annotated[float, Field(ge=-1, le=1)] = 1.0


class AssignmentsSource(Source):
    """`assignments.jsonl` of a taxonomy_processing job, a file of the same form, or assignments."""

    inline: ClassVar[str | None] = "assignments"
    job_types: ClassVar[tuple[str, ...]] = ("taxonomy_processing",)

    assignments: Annotated[list[InlineAssignment], Field(min_length=1)] | None = None


def jobs_of(**sources: Source | None) -> tuple[SourceJob, ...]:
    """For a model's `source_jobs`; `sources`: by the names of its fields."""
    return tuple(
        SourceJob((name, "job_id"), source.job_id, source.job_types)
        for name, source in sources.items()
        if source is not None and source.job_id is not None
    )


def file_problems(input_root: Path, **sources: Source | None) -> list[Problem]:
    """For a model's `check_inputs`: what is wrong with the files at this moment."""
    return [
        ((name, "path"), problem)
        for name, source in sources.items()
        if source is not None and source.path is not None
        if (problem := find_source_problem(source.path, input_root, source.most_bytes))
    ]

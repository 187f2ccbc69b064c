"""What a dataset is made of: chunks, what was found in them, or both. Light: the server checks it at submit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator

from worker.jobs.shared.refusals import Location, lifted
from worker.jobs.shared.selection import Known
from worker.jobs.shared.source import (
    AssignmentsSource,
    ChunksSource,
    ExtractionsSource,
    FilePath,
    JobId,
    Source,
    SourceJob,
)
from worker.jobs.shared.taxonomy import Path_

DataSource = Literal["extract", "chunks", "taxonomy"]
# Of which types the job named by `source` may be. Those of a taxonomy may be in the job of the taxonomy.
JOB_TYPES: Final[dict[DataSource | None, tuple[str, ...]]] = {
    "extract": ExtractionsSource.job_types,
    "chunks": ChunksSource.job_types,
    "taxonomy": (*AssignmentsSource.job_types, *ChunksSource.job_types),
    None: (*ExtractionsSource.job_types, *ChunksSource.job_types, *AssignmentsSource.job_types),
}


def _or_list(kind: type[Source]) -> Callable[[Any], Any]:
    """A list in the place of a source is its inline form."""

    def read(value: Any) -> Any:
        if not isinstance(value, list):
            return value
        try:
            return kind.model_validate({kind.inline: value})
        except ValidationError as error:
            raise lifted(error) from None

    return read


def known_of(categories: Iterable[tuple[str, Path_]]) -> list[Known]:
    """With the categories above those that were found, which have no id of their own here."""
    listed = list(categories)
    above = dict.fromkeys(path[:depth] for _, path in listed for depth in range(1, len(path)))
    return [*listed, *((None, path) for path in above)]


class DatasetSource(BaseModel):
    """One of `job_id`, `path`, and parts, each of which is a list or a source of its own kind.

    The parts are `chunks`, and `extractions` or `assignments`. `chunks` may stand beside `job_id` or `path` too; a job
    knows which chunks it has read, so for one they are needed only when these came with its request.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    job_id: JobId | None = None
    path: FilePath | None = None
    chunks: Annotated[ChunksSource, BeforeValidator(_or_list(ChunksSource))] | None = None
    extractions: Annotated[ExtractionsSource, BeforeValidator(_or_list(ExtractionsSource))] | None = None
    assignments: Annotated[AssignmentsSource, BeforeValidator(_or_list(AssignmentsSource))] | None = None

    @model_validator(mode="after")
    def _check_parts(self) -> Self:
        labels = [part for part in (self.extractions, self.assignments) if part is not None]
        named = [name for name in (self.job_id, self.path) if name is not None]
        if len(named) + len(labels) > 1 or not (named or labels or self.chunks):
            raise ValueError("give one of job_id, path, extractions, assignments and chunks; only chunks may be added")
        if self.assignments is not None and self.assignments.job_id is None and self.chunks is None:
            raise ValueError("assignments have no texts; give the chunks too")
        return self

    @property
    def categories(self) -> list[tuple[str, Path_]] | None:
        """Ids and paths of what came with the request; None when others may be found in what is named."""
        if self.extractions is not None and self.extractions.extractions is not None:
            named = [(line.category_id, line.category_path) for line in self.extractions.extractions]
        elif self.assignments is not None and self.assignments.assignments is not None:
            named = [(line.category_id, line.path) for line in self.assignments.assignments]
        else:
            return None
        return [(category_id or "/".join(path), tuple(path)) for category_id, path in named]

    @property
    def parts(self) -> Iterator[tuple[str, Source]]:
        for name in ("chunks", "extractions", "assignments"):
            part = getattr(self, name)
            if part is not None:
                yield name, part

    def files(self, location: Location) -> Iterator[tuple[Location, str]]:
        """Places in the parameters, and paths."""
        if self.path is not None:
            yield (*location, "path"), self.path
        for name, part in self.parts:
            if part.path is not None:
                yield (*location, name, "path"), part.path

    def jobs(self, location: Location, data_source: DataSource | None) -> Iterator[SourceJob]:
        if self.job_id is not None:
            yield SourceJob((*location, "job_id"), self.job_id, JOB_TYPES[data_source])
        for name, part in self.parts:
            if part.job_id is not None:
                yield SourceJob((*location, name, "job_id"), part.job_id, part.job_types)

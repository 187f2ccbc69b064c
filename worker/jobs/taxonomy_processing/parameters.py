"""What a caller may ask of taxonomy_processing. The server checks it at submit, so nothing heavy is imported here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from worker.jobs.shared.llm.options import LlmMode
from worker.jobs.shared.refusals import refused_field
from worker.jobs.shared.source import ChunksSource, Problem, SourceJob, TaxonomySource, file_problems, jobs_of
from worker.jobs.shared.taxonomy import check_name

MIN_CHUNKS = 20


class Parameters(LlmMode):
    """Offline: categories are groups of chunks with the same words, and are named by these. Mode `llm`: a model names
    and describes the categories that were found so, one request each, and the taxonomy when it has no name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(42, ge=0, lt=2**32)
    project_id: str | None = Field(None, max_length=255, description="a label of your own")
    name: str | None = Field(
        None, max_length=255, description="of the taxonomy; in mode 'llm' the model names one without it"
    )
    domain: str | None = Field(None, max_length=2000, description="for prompts only")
    description: str | None = Field(None, max_length=2000, description="for prompts only, and kept in the taxonomy")

    source: ChunksSource
    depth: int = Field(2, ge=1, le=4, description="levels of categories")
    category_limits: list[Annotated[int, Field(ge=2, le=50)]] | None = Field(
        None, max_length=4, description="the most categories below one node, a number a level; default 12, 6, 4, 4"
    )
    specificity_level: int = Field(1, ge=1, le=5, description="1 to 5 times: from 1 to 2 times as many categories")
    processing_mode: Literal["complete", "fast"] = Field(
        "complete", description="fast: only `sample_size` chunks, evenly over the documents, are looked at"
    )
    sample_size: int = Field(2000, ge=MIN_CHUNKS, le=200_000)
    min_category_size: int | None = Field(None, ge=1, le=100_000, description="chunks; default 5, or 0.5 % if more")
    language: str = Field("auto", pattern=r"^(auto|[a-z]{2,3})$", description="of the chunks; picks the stop words")
    base_taxonomy: TaxonomySource | None = Field(None, description="chunks are given to its categories, none is added")
    extend_taxonomy: TaxonomySource | None = Field(
        None, description="the same, and its large lowest categories are divided further"
    )
    keywords_per_category: int = Field(30, ge=5, le=100)
    max_chunks: int = Field(
        200_000, ge=MIN_CHUNKS, le=1_000_000, description="further ones are left out, with a warning"
    )

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str | None) -> str | None:
        return check_name(name) if name else name

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.category_limits is not None and len(self.category_limits) != self.depth:
            text = f"category_limits must have a number for each of the {self.depth} levels of depth"
            raise refused_field("category_limits", text)
        if self.base_taxonomy is not None and self.extend_taxonomy is not None:
            raise refused_field("extend_taxonomy", "give base_taxonomy or extend_taxonomy, not both")
        return self

    @property
    def given(self) -> TaxonomySource | None:
        """The taxonomy to begin with."""
        return self.base_taxonomy or self.extend_taxonomy

    @property
    def limits(self) -> list[int]:
        """The most categories below one node, a number a level."""
        scale = 1 + (self.specificity_level - 1) / 4
        return self.category_limits or [min(50, round(most * scale)) for most in (12, 6, 4, 4)[: self.depth]]

    @property
    def source_jobs(self) -> tuple[SourceJob, ...]:
        return jobs_of(source=self.source, base_taxonomy=self.base_taxonomy, extend_taxonomy=self.extend_taxonomy)

    @property
    def names_files(self) -> bool:
        return any(source is not None and source.path is not None for source in (self.source, self.given))

    def check_inputs(self, input_root: Path) -> list[Problem]:
        """What is wrong with the files at this moment, as (place in the parameters, message)."""
        sources = {"base_taxonomy": self.base_taxonomy, "extend_taxonomy": self.extend_taxonomy}
        return file_problems(input_root, source=self.source, **sources)

    def as_used(self) -> dict[str, Any]:
        """For the manifest: with defaults, and without what was sent along, which `inputs` tells."""
        values = self.model_dump(mode="json", exclude={"source", "base_taxonomy", "extend_taxonomy"})
        return values | {"category_limits": self.limits}

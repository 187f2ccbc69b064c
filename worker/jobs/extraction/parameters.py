"""What a caller may ask of extraction. The server checks it at submit, so nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, field_validator, model_validator

from worker.jobs.shared.llm.options import LlmItems, LlmOptions, problems_of
from worker.jobs.shared.refusals import refused, refused_field
from worker.jobs.shared.selection import selection_mistakes
from worker.jobs.shared.source import ChunksSource, Problem, SourceJob, TaxonomySource, file_problems, jobs_of
from worker.jobs.shared.taxonomy import CategoryNames, categories_in, root_of
from worker.jobs.shared.user_patterns import compiled, matches_nothing

BuiltIn = Literal["email", "url", "date", "number_unit", "version", "ip", "acronym", "proper_name"]
VALIDATION_LLM: Final = "validation_llm"
BUILT_IN: tuple[BuiltIn, ...] = get_args(BuiltIn)
_NAMES: Final[TypeAdapter[BuiltIn]] = TypeAdapter(BuiltIn)
_RESERVED = frozenset({*BUILT_IN, "keyword", "whole_text"})


class OwnPattern(BaseModel):
    """A regular expression in the syntax of the `regex` library; each match is an entity of type `name`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")]
    pattern: Annotated[str, Field(min_length=1, max_length=500)]

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if name in _RESERVED:
            raise ValueError(f"'{name}' is the name of a built-in type; choose another")
        return name

    @field_validator("pattern")
    @classmethod
    def _check_pattern(cls, pattern: str) -> str:
        problem = pattern_problem(pattern)
        if problem is not None:
            raise ValueError(problem)
        return pattern


def pattern_problem(pattern: str) -> str | None:
    """Why the pattern cannot be used, or None; None too where the `regex` library is not installed."""
    try:
        return "matches the empty text" if matches_nothing(compiled(pattern)) else None
    except ImportError:  # a server without the extra: the worker asks again
        return None
    except ValueError as error:
        return str(error)


def _of_its_kind(value: Any) -> Any:
    """Checked as a name or as a pattern of one's own: a union would tell why it is neither."""
    return _NAMES.validate_python(value) if isinstance(value, str) else OwnPattern.model_validate(value)


EntityPattern = Annotated[BuiltIn | OwnPattern, BeforeValidator(_of_its_kind)]


class Parameters(LlmItems):
    """Offline: categories are found by the likeness of words, entities by patterns and keywords. Mode `llm`: a model
    says which of the categories that fit a chunk best it speaks of, and quotes where; entities are found as offline."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(42, ge=0, lt=2**32)
    project_id: str | None = Field(None, max_length=255, description="a label of your own")
    name: str | None = Field(None, max_length=255, description="a label of your own")

    source: ChunksSource
    taxonomy: TaxonomySource
    selected_categories: CategoryNames | None = Field(
        None, description="ids, names or paths 'a/b', each with all below it; all when not given"
    )
    extraction_type: Literal["whole_text", "entity", "ner", "both"] = Field("whole_text", description="'ner': 'entity'")
    extraction_mode: Literal["contextual", "document_wide"] = Field(
        "contextual",
        description="contextual: a category counts only where those above it pass too; a model is told its whole path",
    )
    extraction_depth: int = Field(3, ge=1, le=5, description="levels of the taxonomy that are used")
    confidence_threshold: float = Field(0.5, ge=0, le=1, description="a category's own threshold wins when higher")
    max_labels_per_chunk: int = Field(3, ge=1, le=20)
    granularity: Literal["chunk", "sentence"] = Field(
        "chunk", description="what a finding is: all of the chunk, or a run of its sentences; in mode 'llm' a quote"
    )
    prefilter: int = Field(
        5, ge=1, le=100, description="mode 'llm' only: so many categories, those that fit best offline, are asked about"
    )
    entity_patterns: list[EntityPattern] | None = Field(
        None, max_length=28, description="names of built-in patterns and own ones; all built-in ones when not given"
    )
    fuzzy_keywords: bool = Field(False, description="find keywords of 6 and more letters with small differences too")
    enable_validation_stage: bool = False
    validation_llm: LlmOptions | None = Field(
        None, description="the model that is asked whether findings are right, with limits of its own; default: `llm`"
    )
    only_validated: bool = Field(False, description="leave out what the validation stage does not confirm")
    infer_relations: bool = Field(False, description="write which findings occur together")
    batch_size: int = Field(500, ge=1, le=10_000, description="chunks at a time")
    max_chunks: int = Field(200_000, ge=1, le=1_000_000, description="further ones are left out, with a warning")

    @field_validator("entity_patterns")
    @classmethod
    def _check_unique(cls, patterns: list[BuiltIn | OwnPattern] | None) -> list[BuiltIn | OwnPattern] | None:
        names = [pattern if isinstance(pattern, str) else pattern.name for pattern in patterns or []]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"'{name}' is listed twice")
        return patterns

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.only_validated and not self.enable_validation_stage:
            raise refused_field("only_validated", "only_validated needs enable_validation_stage")
        for name, is_given in (
            ("entity_patterns", self.entity_patterns is not None),
            ("fuzzy_keywords", self.fuzzy_keywords),
        ):
            if is_given and not self.wants_entities:
                raise refused_field(name, f"{name} needs the extraction_type 'entity' or 'both'")
        return self

    @model_validator(mode="after")
    def _check_mode(self) -> Self:
        if self.mode == "offline" and "prefilter" in self.model_fields_set:
            raise refused_field("prefilter", "prefilter is for mode 'llm'; offline all categories are compared")
        if self.validation_llm is not None and not (self.mode == "llm" and self.enable_validation_stage):
            text = "validation_llm needs mode 'llm' and enable_validation_stage, else it is not asked"
            raise refused_field("validation_llm", text)
        if self.mode == "llm" and not self.wants_texts:
            text = "entities are found without a model; mode 'llm' needs extraction_type whole_text or both"
            raise refused_field("extraction_type", text)
        if self.mode == "llm" and self.granularity != "chunk":
            text = "granularity is for mode 'offline'; in mode 'llm' a finding is what the model quotes"
            raise refused_field("granularity", text)
        return self

    @model_validator(mode="after")
    def _check_selection(self) -> Self:
        """Of a taxonomy that comes with the request; others are looked at when they are there."""
        if self.taxonomy.taxonomy is not None and self.selected_categories is not None:
            known = categories_in(root_of(self.taxonomy.taxonomy))
            mistakes = selection_mistakes(self.selected_categories, known, self.extraction_depth)
            if mistakes:
                raise refused(mistakes)
        return self

    @property
    def wants_entities(self) -> bool:
        return self.extraction_type != "whole_text"

    @property
    def wants_texts(self) -> bool:
        return self.extraction_type in ("whole_text", "both")

    @property
    def patterns(self) -> list[BuiltIn | OwnPattern]:
        """Those that the job uses."""
        if not self.wants_entities:
            return []
        return list(BUILT_IN) if self.entity_patterns is None else self.entity_patterns

    def check_llm(self, base_urls: Sequence[str]) -> list[Problem]:
        """Of both models, see `LlmMode`."""
        second = self.validation_llm
        more = [] if second is None else problems_of(second, base_urls, VALIDATION_LLM)
        return [*super().check_llm(base_urls), *more]

    @property
    def source_jobs(self) -> tuple[SourceJob, ...]:
        return jobs_of(source=self.source, taxonomy=self.taxonomy)

    @property
    def names_files(self) -> bool:
        return self.source.path is not None or self.taxonomy.path is not None

    def check_inputs(self, input_root: Path) -> list[Problem]:
        """What is wrong with the files at this moment, as (place in the parameters, message)."""
        return file_problems(input_root, source=self.source, taxonomy=self.taxonomy)

    def as_used(self) -> dict[str, Any]:
        """For the manifest: with defaults, and without what was sent along, which `inputs` tells."""
        values = self.model_dump(mode="json", exclude={"source", "taxonomy"})
        return values | {"entity_patterns": [p if isinstance(p, str) else p.model_dump() for p in self.patterns]}

"""What a caller may ask of dataset_generation. The server checks it at submit, so nothing heavy is imported here."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter
from typing import Annotated, Any, Final, Literal, Self

from pydantic import ConfigDict, Field, ValidationInfo, field_validator, model_validator

from worker.jobs.dataset_generation.modes import (
    OFFLINE,
    PLACEHOLDERS,
    SCHEMAS,
    WITH_LLM,
    Format,
    GenerationMode,
    SchemaName,
    Split,
)
from worker.jobs.dataset_generation.sources import DatasetSource, DataSource, known_of
from worker.jobs.shared.input_files import find_source_problem
from worker.jobs.shared.llm.options import LlmItems, LlmOptions
from worker.jobs.shared.refusals import Mistake, refused, refused_field
from worker.jobs.shared.selection import selection_mistakes
from worker.jobs.shared.source import Problem, Source, SourceJob, TaxonomySource, file_problems, jobs_of
from worker.jobs.shared.taxonomy import CategoryNames, categories_in, root_of

_SEMVER: Final = (
    r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$"
)
_ALMOST: Final = 1e-6
NO_EXTRACTIONS: Final = "only_validated needs extractions, which the source does not have."


class Parameters(LlmItems):
    """Offline: records are made of sentences and sections of the texts, without a model. Mode `llm`: a model writes
    them, one request a chunk."""

    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True)

    seed: int = Field(42, ge=0, lt=2**32)
    project_id: str | None = Field(None, max_length=255, description="a label of your own")
    name: str | None = Field(None, max_length=255, description="a label of your own")

    source: DatasetSource
    data_source: DataSource | None = Field(
        None,
        description="where records come from: extractions, chunks alone, or chunks with the categories that a taxonomy"
        " job assigned; found out when not given (a file is taken for chunks)",
    )
    taxonomy: TaxonomySource | None = None
    generation_mode: GenerationMode = "instruction"
    # Named apart from a method that every model has.
    record_schema: SchemaName | None = Field(None, alias="schema", description="that of the mode when not given")
    formats: list[Format] = Field(["jsonl"], min_length=1, max_length=4)
    csv_safe: bool = Field(False, description="put an apostrophe before cells of CSV that begin with = + - @")
    splits: dict[Split, Annotated[float, Field(ge=0, le=1)]] = Field(
        {"train": 0.8, "validation": 0.1, "test": 0.1}, min_length=1, description="shares, that sum to 1"
    )
    split_by: Literal["document", "record"] = Field(
        "document", description="'record': each chunk by itself, with the records made of it"
    )
    datasets_per_chunk: int = Field(3, ge=1, le=20, description="most records made of one chunk")
    min_confidence: float = Field(
        0.5, ge=0, le=1, description="of extractions; of a taxonomy's assignments their similarity, when given"
    )
    only_validated: bool = Field(False, description="leave out extractions that a validation has not confirmed")
    selected_categories: CategoryNames | None = Field(
        None, description="ids, names or paths 'a/b', each with all below it"
    )
    dedup_threshold: float = Field(0.8, ge=0, le=1, description="0: leave duplicates in; else 0.5 and more")
    min_output_chars: int = Field(20, ge=0, le=100_000, description="of answers, and of texts that are classified")
    max_record_tokens: int | None = Field(None, ge=16, le=1_000_000)
    analyze_quality: bool = True
    quality_threshold: float = Field(0.7, ge=0, le=1)
    fail_below_quality: bool = False
    prompt: str | None = Field(
        None, min_length=1, max_length=20_000, description=f"mode 'llm' only; may use {', '.join(PLACEHOLDERS)} in {{}}"
    )
    concurrency: int | None = Field(None, ge=1, le=64, description="mode 'llm' only; instead of llm.concurrency")
    batch_size: int = Field(50, ge=1, le=10_000, description="chunks that are in hand together; mode 'llm' only")
    dataset_name: str | None = Field(None, pattern=r"^[a-z0-9]+([._-][a-z0-9]+)*$", max_length=96)
    version: str = Field("1.0.0", pattern=_SEMVER, max_length=64)

    @field_validator("generation_mode")
    @classmethod
    def _check_mode(cls, mode: GenerationMode, info: ValidationInfo) -> GenerationMode:
        if mode not in OFFLINE and info.data.get("mode") == "offline":
            message = f"'{mode}' needs mode 'llm', because no text holds such words; offline there are: "
            raise ValueError(message + ", ".join(OFFLINE))
        if mode not in WITH_LLM and info.data.get("mode") == "llm":
            message = f"'{mode}' takes its answers from what is there already; for mode 'llm' there are: "
            raise ValueError(message + ", ".join(WITH_LLM))
        return mode

    @field_validator("record_schema")
    @classmethod
    def _check_schema(cls, schema: SchemaName | None, info: ValidationInfo) -> SchemaName | None:
        fitting = SCHEMAS.get(info.data.get("generation_mode", ""), ())
        if schema is not None and fitting and schema not in fitting:
            mode = info.data["generation_mode"]
            raise ValueError(f"'{schema}' does not fit generation_mode '{mode}', which has: {', '.join(fitting)}")
        return schema

    @field_validator("formats")
    @classmethod
    def _check_formats(cls, formats: list[Format]) -> list[Format]:
        return list(dict.fromkeys(formats))

    @field_validator("splits")
    @classmethod
    def _check_splits(cls, splits: dict[Split, float]) -> dict[Split, float]:
        total = sum(splits.values())
        if abs(total - 1) > _ALMOST:
            shares = " + ".join(f"{share:g}" for share in splits.values())
            raise ValueError(f"must sum to 1; {shares} is {total:g}")
        return splits

    @field_validator("dedup_threshold")
    @classmethod
    def _check_threshold(cls, threshold: float) -> float:
        if 0 < threshold < 0.5:
            raise ValueError("must be 0, which leaves duplicates in, or 0.5 to 1")
        return threshold

    @field_validator("prompt")
    @classmethod
    def _check_prompt(cls, prompt: str | None, info: ValidationInfo) -> str | None:
        if prompt is None:
            return None
        problem = prompt_problem(prompt)
        if problem is not None:
            raise ValueError(problem)
        if info.data.get("mode") == "offline":
            raise ValueError("is for mode 'llm'; offline nobody reads it")
        return prompt

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.fail_below_quality and not self.analyze_quality:
            raise refused_field("fail_below_quality", "fail_below_quality needs analyze_quality")
        field = self.needs_labels
        if field is not None and not self.may_have_labels:
            raise refused([Mistake("labels_required", (field,), self.labels_required(field))])
        if self.only_validated and (self.data_source or "extract") != "extract":
            raise refused_field("only_validated", "only_validated is for extractions, which data_source excludes")
        if self.only_validated and not self.may_have_extractions:
            raise refused([Mistake("labels_required", ("only_validated",), NO_EXTRACTIONS)])
        if self.source.extractions is not None and self.data_source == "taxonomy":
            raise refused_field("data_source", "data_source 'taxonomy' needs assignments, not extractions")
        if self.source.assignments is not None and self.data_source == "extract":
            raise refused_field("data_source", "data_source 'extract' needs extractions, not assignments")
        return self

    @model_validator(mode="after")
    def _check_selection(self) -> Self:
        """When all categories came with the request; others are looked at when they are there."""
        found, taxonomy = self.source.categories, self.taxonomy
        is_known = found is not None and (taxonomy is None or taxonomy.taxonomy is not None)
        if found is None or not is_known or self.selected_categories is None:
            return self
        if taxonomy is not None:
            found += categories_in(root_of(taxonomy.taxonomy))
        mistakes = selection_mistakes(self.selected_categories, known_of(found))
        if mistakes:
            raise refused(mistakes)
        return self

    @property
    def needs_labels(self) -> str | None:
        """The parameter for which categories are needed."""
        if self.selected_categories is not None:
            return "selected_categories"
        if self.generation_mode == "classification":
            return "generation_mode"
        return "data_source" if self.data_source in ("extract", "taxonomy") else None

    @property
    def may_have_extractions(self) -> bool:
        """False when it is certain that there are none."""
        is_file = self.source.path is not None and self.data_source == "extract"
        return is_file or self.source.job_id is not None or self.source.extractions is not None

    @property
    def may_have_labels(self) -> bool:
        """False when it is certain that no chunk has a category."""
        if self.data_source == "chunks":
            return False
        if self.source.job_id is not None or self.source.extractions is not None or self.source.assignments is not None:
            return True
        has_assignments = self.taxonomy is not None and self.taxonomy.job_id is not None
        if self.source.path is not None:
            return self.data_source == "extract" or has_assignments or self.source.chunks is not None
        return has_assignments

    @property
    def schema_used(self) -> SchemaName:
        return self.record_schema or SCHEMAS[self.generation_mode][0]

    @property
    def dataset_name_used(self) -> str:
        slug = re.sub(r"[^a-z0-9]+", "-", (self.name or "").lower()).strip("-")[:96].strip("-")
        return self.dataset_name or slug or f"{self.generation_mode}-dataset"

    @property
    def llm_used(self) -> LlmOptions | None:
        if self.llm is None or self.concurrency is None:
            return self.llm
        return self.llm.model_copy(update={"concurrency": self.concurrency})

    @property
    def shares(self) -> dict[Split, float]:
        """Of the splits that are wanted, with the same order for the same splits."""
        return {name: self.splits[name] for name in ("train", "validation", "test") if self.splits.get(name, 0) > 0}

    @property
    def source_jobs(self) -> tuple[SourceJob, ...]:
        return (*self.source.jobs(("source",), self.data_source), *jobs_of(taxonomy=self.taxonomy))

    @property
    def names_files(self) -> bool:
        return any(True for _ in self.source.files(())) or (
            self.taxonomy is not None and self.taxonomy.path is not None
        )

    def check_inputs(self, input_root: Path) -> list[Problem]:
        """What is wrong with the files at this moment, as (place in the parameters, message)."""
        named = self.source.files(("source",))
        looked = [(place, find_source_problem(path, input_root, Source.most_bytes)) for place, path in named]
        problems = [(place, problem) for place, problem in looked if problem]
        return [*problems, *file_problems(input_root, taxonomy=self.taxonomy)]

    def labels_required(self, field: str) -> str:
        """`field`: the parameter for which categories are needed."""
        what = field if field == "selected_categories" else f"{field} '{getattr(self, field)}'"
        return (
            f"{what} needs categories: give an extraction job as the source, or a taxonomy job whose assignments say "
            "which chunk belongs where."
        )

    def as_used(self) -> dict[str, Any]:
        """For the manifest: with defaults, and without what was sent along, which `inputs` tells."""
        values = self.model_dump(mode="json", exclude={"source", "taxonomy"})
        return values | {"schema": self.schema_used, "dataset_name": self.dataset_name_used, "splits": self.shares}


def prompt_problem(prompt: str) -> str | None:
    """What is wrong with the placeholders of a prompt, or None."""
    try:
        fields = [
            (name, spec, conversion) for _, name, spec, conversion in Formatter().parse(prompt) if name is not None
        ]
    except ValueError as error:
        return f"is not a template: {error}; write {{{{ and }}}} for braces"
    # What follows a name could ask for a text of any length.
    names = [f"{name}!" if conversion else f"{name}:" if spec else name for name, spec, conversion in fields]
    unknown = [name for name in names if name not in PLACEHOLDERS]
    if unknown:
        known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
        return f"has the placeholder {{{unknown[0]}}}; there are: {known}"
    return None if "text" in names else "has no {text}, where the text of the chunk goes"

"""What a caller may ask of document_processing. The server checks it at submit, so nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, LiteralString, Self

from pydantic import (
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from worker.jobs.document_processing.charset import text_encoding
from worker.jobs.document_processing.contradictions import contradictions
from worker.jobs.document_processing.formats import BINARY, EXTRA, READS, InputFormat, Parser, extra_is_there
from worker.jobs.document_processing.input_document import CONTROL_CHARACTER, Document
from worker.jobs.document_processing.page_ranges import parse_ranges
from worker.jobs.document_processing.rules import LONGEST_VALUE, SchemaDefinition
from worker.jobs.document_processing.task import Chunking, Strategy
from worker.jobs.document_processing.urls import url_problems
from worker.jobs.shared.input_files import find_problem
from worker.jobs.shared.llm.options import LlmMode
from worker.jobs.shared.source import Location, Source, SourceJob, jobs_of

# Tokens; of the strategy `character`, characters.
_SIZE, _OVERLAP = 512, 50
_SIZE_IN_CHARACTERS, _OVERLAP_IN_CHARACTERS = 2000, 200


class TextsSource(Source):
    """The texts that an earlier document_processing job has stored."""

    job_types: ClassVar[tuple[str, ...]] = ("document_processing",)

    @field_validator("path")
    @classmethod
    def _refuse_path(cls, path: str | None) -> str | None:
        if path is not None:
            raise ValueError("texts come from an earlier job only; give its 'job_id'")
        return path


class Parameters(LlmMode):
    """Sizes are in the unit of `chunk_strategy`: characters for "character", tokens for all others.

    Chunks of all strategies are exact parts of the text, in order; no chunk is larger than `chunk_size`, and every
    character but blanks is in one. `token` and `character` fill chunks up. All others begin a chunk at each of their
    borders, cut what lies between two borders only where it is larger than `chunk_size`, and overlap only there.
    """

    # What is wrong may be the password.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    mode: Literal["offline", "llm"] = Field(
        "offline", description="'llm': a model says where texts turn to another matter; for 'semantic' only"
    )
    documents: list[Document] = Field([], min_length=1, max_length=1000, description="needed without 'skip_parsing'")
    skip_parsing: bool = Field(False, strict=True, description="cut the stored texts of 'source' anew; no 'documents'")
    source: TextsSource | None = Field(None, description="the earlier job, such as {'job_id': '...'}")
    input_format: InputFormat = "auto"
    parser: Parser = "auto"
    pages: str | None = Field(None, max_length=500, description="of PDFs, such as '1-20,25'; all when not given")
    password: str | None = Field(None, max_length=127, repr=False, description="of encrypted PDFs")
    chunk_strategy: Strategy = Field(
        "token",
        description="borders of 'heading': before headings; of 'delimiter': after each of the first of 'delimiters'; "
        "of 'schema': as 'schema_definition' says; of 'semantic': where the sentences turn to another matter",
    )
    chunk_size: int | None = Field(None, ge=16, le=32_000, description="default 512 tokens or 2000 characters")
    overlap: int | None = Field(
        None,
        ge=0,
        lt=32_000,
        description="nine tenths of chunk_size at most; default min(50 tokens or 200 characters, a tenth)",
    )
    tokenizer: Literal["o200k", "cl100k"] = "o200k"
    encoding: str | None = Field(None, max_length=64, description="of text documents; found out when not given")
    heading_levels: list[Annotated[int, Field(ge=1, le=6)]] = Field(
        [1, 2, 3], min_length=1, max_length=6, description="at which the strategy 'heading' begins a new chunk"
    )
    delimiters: list[Annotated[str, Field(min_length=1, max_length=LONGEST_VALUE)]] = Field(
        ["\n\n", "\n"],
        min_length=1,
        max_length=20,
        description="a chunk ends after each of the first; what is larger than chunk_size is cut after the next ones",
    )
    schema_definition: SchemaDefinition | None = Field(
        None, description="a chunk begins where a 'pattern' matches and ends after a 'delimiter'; 'combine' any or all"
    )
    semantic_threshold: float = Field(1.9, ge=1.2, le=3.0, description="higher means fewer, longer chunks")
    min_chunk_chars: int = Field(
        40, ge=0, le=1000, description="shorter pieces are joined to a neighbour where both fit, over borders too"
    )
    strip_boilerplate: bool = Field(
        True,
        description="leave out lines that most pages of a PDF or, of five and more, 30 % of the documents repeat, and "
        "what surrounds the text of an HTML page",
    )
    document_timeout: float = Field(
        120, ge=1, le=3600, description="seconds to fetch one, again to parse it, again to cut it"
    )
    max_document_bytes: int = Field(50_000_000, ge=1, le=200_000_000)
    max_pages: int = Field(5000, ge=1, le=20_000)
    max_characters: int = Field(20_000_000, ge=1, le=50_000_000)
    fail_fast: bool = Field(False, description="stop at the first document that fails")
    max_error_rate: float = Field(1.0, ge=0, le=1, description="stop when a larger part of the documents has failed")

    seed: int = Field(42, ge=0, lt=2**32, description="of what 'semantic' learns")
    project_id: str | None = Field(None, max_length=255, description="a label of your own")
    name: str | None = Field(None, max_length=255, description="a label of your own")

    @model_validator(mode="wrap")
    @classmethod
    def _name_what_is_built(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        found = [_contradiction(*told) for told in contradictions(data)]
        try:
            model = handler(data)
        except ValidationError as error:
            found += [_with_list(mistake, set(cls.model_fields)) for mistake in error.errors(include_url=False)]
        if found:
            raise ValidationError.from_exception_data(cls.__name__, found, hide_input=True)
        return model

    @field_validator("documents")
    @classmethod
    def _check_unique(cls, documents: list[Document]) -> list[Document]:
        seen = set()
        for document in documents:
            key = (document.kind, document.label)
            if key in seen:
                raise ValueError(f"'{document.label}' is listed twice; paths, file ids, urls and names must be unique")
            seen.add(key)
        return documents

    @field_validator("overlap")
    @classmethod
    def _check_overlap(cls, overlap: int | None, info: ValidationInfo) -> int | None:
        size = info.data.get("chunk_size") or _default_size(info.data.get("chunk_strategy", "token"))
        # A refused chunk_size or strategy is missing here, and gets its own message.
        known = {"chunk_size", "chunk_strategy"} <= info.data.keys()
        # What is left beside the overlap is all that a chunk brings; with less of it there would be crumbs.
        if overlap is not None and known and overlap > size * 9 // 10:
            raise ValueError(f"must be at most nine tenths of chunk_size, which are {size * 9 // 10}")
        return overlap

    @field_validator("encoding")
    @classmethod
    def _check_encoding(cls, encoding: str | None) -> str | None:
        if encoding is None:
            return None
        name = text_encoding(encoding)
        if name is None:
            raise ValueError("is not the name of a text encoding, such as utf-8, cp1252 or shift_jis")
        return name

    @field_validator("input_format", "parser")
    @classmethod
    def _check_extra(cls, value: Any) -> Any:
        if (value in EXTRA or value == "xberg") and not extra_is_there():
            message = "missing_dependency: '{value}' needs xberg, which is not installed; install the extra 'formats'"
            raise PydanticCustomError("missing_dependency", message, {"value": value})
        return value

    @field_validator("parser")
    @classmethod
    def _check_parser(cls, parser: Parser, info: ValidationInfo) -> Parser:
        asked = info.data.get("input_format", "auto")
        if asked != "auto" and asked not in READS[parser]:
            raise ValueError(f"'{parser}' cannot read the input_format '{asked}'")
        return parser

    @field_validator("pages")
    @classmethod
    def _check_pages(cls, pages: str | None, info: ValidationInfo) -> str | None:
        if pages is None:
            return None
        parse_ranges(pages)
        if (
            info.data.get("input_format", "auto") not in ("auto", "pdf")
            or "pdf" not in READS[info.data.get("parser", "auto")]
        ):
            raise ValueError("is for PDFs only, which input_format or parser exclude")
        return pages

    @field_validator("password")
    @classmethod
    def _check_password(cls, password: str | None) -> str | None:
        if password is not None and CONTROL_CHARACTER.search(password):
            raise ValueError("must not contain NUL or other control characters")
        return password

    @field_validator("heading_levels")
    @classmethod
    def _check_levels(cls, levels: list[int]) -> list[int]:
        return sorted(set(levels))

    @model_validator(mode="after")
    def _check_inline_format(self) -> Self:
        if any(document.text is not None for document in self.documents):
            if self.input_format in BINARY:
                raise ValueError(f"input_format '{self.input_format}' cannot be used with documents given as text")
            if all(kind in BINARY for kind in READS[self.parser]):
                raise ValueError(f"parser '{self.parser}' cannot be used with documents given as text")
        return self

    def chunking(self) -> Chunking:
        """How to cut, with all defaults filled in."""
        strategy, schema = self.chunk_strategy, self.schema_definition
        size = self.chunk_size or _default_size(strategy)
        default_overlap = min(_OVERLAP_IN_CHARACTERS if strategy == "character" else _OVERLAP, size // 10)
        return Chunking(
            strategy=strategy,
            size=size,
            overlap=default_overlap if self.overlap is None else self.overlap,
            tokenizer=self.tokenizer,
            min_characters=self.min_chunk_chars,
            heading_levels=self.heading_levels,
            delimiters=self.delimiters,
            rules=[(rule.type, rule.value) for rule in schema.rules] if schema else (),
            combine=schema.combine if schema else "any",
            semantic_threshold=self.semantic_threshold,
        )

    @property
    def source_jobs(self) -> tuple[SourceJob, ...]:
        return jobs_of(source=self.source)

    @property
    def file_ids(self) -> tuple[tuple[Location, str], ...]:
        """(place in the parameters, file id) of the uploaded files."""
        return tuple(
            (("documents", index, "file_id"), document.file_id)
            for index, document in enumerate(self.documents)
            if document.file_id is not None
        )

    @property
    def names_files(self) -> bool:
        """Whether `check_inputs` has anything to look at on disk."""
        return any(document.path is not None for document in self.documents)

    def check_urls(self, access: str, origins: Sequence[str]) -> list[tuple[Location, str]]:
        """For the server, at submit: what is wrong with addresses of documents, given what the operator allows."""
        found = url_problems([document.url for document in self.documents], access, origins)
        return [(("documents", number, "url"), problem) for number, problem in found]

    def check_inputs(self, input_root: Path) -> list[tuple[tuple[str | int, ...], str]]:
        """What is wrong with the input files at this moment, as (place in the parameters, message)."""
        problems: list[tuple[tuple[str | int, ...], str]] = []
        for index, document in enumerate(self.documents):
            problem = find_problem(document.path, input_root) if document.path is not None else None
            if problem is not None:
                problems.append((("documents", index, "path"), problem))
        return problems


def _default_size(strategy: str) -> int:
    return _SIZE_IN_CHARACTERS if strategy == "character" else _SIZE


def _contradiction(field: str, kind: LiteralString, message: LiteralString) -> InitErrorDetails:
    return InitErrorDetails(type=PydanticCustomError(kind, message), loc=(field,), input=None)


def _with_list(mistake: Any, built: set[str]) -> InitErrorDetails:
    """The same mistake; an unknown parameter is answered with the list of those that exist."""
    kind, message = mistake["type"], mistake["msg"].removeprefix("Value error, ")
    if kind == "extra_forbidden" and len(mistake["loc"]) == 1:
        message = f"not a parameter of document_processing, which has: {', '.join(sorted(built))}"
    told = PydanticCustomError(kind, "{text}", {"text": message})
    return InitErrorDetails(type=told, loc=mistake["loc"], input=mistake["input"])

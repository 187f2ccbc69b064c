"""What of a request excludes or demands something else in it. Light: the server checks it at submit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, LiteralString

# What they say was decided when the earlier job read the documents.
_OF_PARSING: Final = (
    "input_format",
    "parser",
    "pages",
    "password",
    "encoding",
    "strip_boilerplate",
    "max_document_bytes",
    "max_pages",
    "max_characters",
)

Contradiction = tuple[str, LiteralString, LiteralString]


def contradictions(data: Any) -> Iterator[Contradiction]:
    """(field, type of the mistake, message) of each, in the order of the fields."""
    if not isinstance(data, dict):
        return
    given = {name for name, value in data.items() if value is not None}
    yield from _of_rechunking(given) if data.get("skip_parsing") is True else _of_parsing(given)
    if data.get("chunk_strategy") == "schema" and "schema_definition" not in given:
        yield "schema_definition", "missing", "needed by the chunk_strategy 'schema'"
    if data.get("mode") == "llm" and data.get("chunk_strategy") != "semantic":
        message: LiteralString = "'llm' is for the chunk_strategy 'semantic'; for all others no model would be asked"
        yield "mode", "mode_without_semantic", message


def _of_parsing(given: set[str]) -> Iterator[Contradiction]:
    if "documents" not in given:
        yield "documents", "missing", "Field required"
    if "source" in given:
        yield "source", "source_without_skip_parsing", "is for 'skip_parsing': true, which reads no documents"


def _of_rechunking(given: set[str]) -> Iterator[Contradiction]:
    if "documents" in given:
        yield "documents", "documents_with_skip_parsing", "must not be given with 'skip_parsing', which reads 'source'"
    if "source" not in given:
        yield "source", "missing", "needed by 'skip_parsing': name the earlier job by its 'job_id'"
    for name in _OF_PARSING:
        if name in given:
            yield name, "parsed_already", "cannot be used with 'skip_parsing': the texts are those of the earlier job"

"""Reads what sources name: line by line, so that large inputs need no memory, and with a place for every mistake."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, Final, NoReturn

import orjson

from worker.context import JobContext, PermanentError, RetryableError
from worker.jobs.shared.errors import InputError
from worker.jobs.shared.input_files import TOO_LARGE, check_file, open_file
from worker.jobs.shared.source import (
    AssignmentsSource,
    ChunksSource,
    ExtractionsSource,
    Source,
    TaxonomySource,
)
from worker.jobs.shared.taxonomy import Node, TaxonomyError, root_of
from worker.jobs.shared.workspace import MANIFEST

CHUNKS: Final = "chunks.jsonl"
TAXONOMY: Final = "taxonomy.json"
EXTRACTIONS: Final = "extractions.jsonl"
ASSIGNMENTS: Final = "assignments.jsonl"
LONGEST_LINE: Final = 16 * 1024 * 1024

Record = dict[str, Any]
Kinds = Mapping[str, type | tuple[type, ...]]
# The least and the largest value of a field.
Ranges = Mapping[str, tuple[float, float]]
NO_RANGES: Final[Ranges] = MappingProxyType({})
# What is wrong with a record, told after its line; None for one that is right.
Check = Callable[[Record], str | None]


def manifest_of(ctx: JobContext, job_id: str, job_types: Sequence[str]) -> tuple[Path, Record]:
    """The folder of an earlier job and its manifest.

    Raises PermanentError `source_failed` (it has left no files, or they are gone) or `source_wrong_type`.
    """
    folder = ctx.folder.parent / job_id
    try:
        manifest: Record = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError):
        message = f"Job {job_id} has left no files: it has not completed, or they have been removed since."
        raise PermanentError("source_failed", message) from None
    if manifest.get("job_type") not in job_types:
        wanted = " or ".join(job_types)
        raise PermanentError("source_wrong_type", f"Job {job_id} is of type {manifest.get('job_type')}, not {wanted}.")
    return folder, manifest


class SameFile:
    """Holds on to what was opened first: what is put in its place, or written into it, would be another source."""

    def __init__(self) -> None:
        self._first: tuple[int, ...] | None = None

    def check(self, file: IO[bytes], field: str) -> None:
        """Raises RetryableError `file_changed`."""
        status = os.fstat(file.fileno())
        found = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        if self._first is None:
            self._first = found
        elif self._first != found:
            message = f"{field}: The file was changed while the job read it; start the job again when it is complete."
            raise RetryableError("file_changed", message)


def opened(ctx: JobContext, source: Source, name: str, field: str) -> IO[bytes]:
    """The file `name` of the job, or the file of the input folder. `field`: the parameter that names it.

    Raises PermanentError.
    """
    try:
        if source.job_id is not None:
            folder, _ = manifest_of(ctx, source.job_id, source.job_types)
            return (folder / name).open("rb")
        return _input_file(ctx, source.path or "", source.most_bytes)
    except InputError as error:
        raise PermanentError(error.code, f"{field}: {error}") from None
    except OSError:
        message = f"{field}: The file {name} of job {source.job_id} cannot be read."
        raise PermanentError("source_failed", message) from None


def _input_file(ctx: JobContext, path: str, most_bytes: int) -> IO[bytes]:
    with ExitStack() as stack:
        file = stack.enter_context(os.fdopen(open_file(path, ctx.input_root), "rb"))
        if os.fstat(file.fileno()).st_size > most_bytes:
            raise InputError(TOO_LARGE, f"The file {path} is larger than {most_bytes:,} bytes.")
        check_file(file.fileno(), most_bytes)
        stack.pop_all()
        return file


def records(
    file: IO[bytes],
    field: str,
    required: Kinds,
    ranges: Ranges = NO_RANGES,
    check: Check = lambda record: None,
    same: SameFile | None = None,
) -> Iterator[Record]:
    """Each line as an object that has the `required` fields, those in `ranges` within them. Closes the file.

    `field`: the parameter that names the file; `same`: for those that are read more than once.

    Raises PermanentError `schema_mismatch`, which names parameter, line and field, and RetryableError `file_changed`.
    """
    same = same or SameFile()
    with closing(file):
        same.check(file, field)
        for number in range(1, 10**9):
            line = file.readline(LONGEST_LINE + 1)
            if not line:
                same.check(file, field)
                return
            if line.strip():
                yield _record(line, f"{field}: Line {number}", required, ranges, check)


def _parsed(text: bytes) -> Any:
    """Without numbers that JSON does not have, and without halves of characters, which no file can hold: a question
    mark stands for one. Raises ValueError, RecursionError."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        value = _DECODER.decode(text.decode(json.detect_encoding(text)))
    return json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant)


def _record(line: bytes, place: str, required: Kinds, ranges: Ranges, check: Check) -> Record:
    if len(line) > LONGEST_LINE:
        raise PermanentError("schema_mismatch", f"{place} is longer than {LONGEST_LINE:,} bytes.")
    try:
        record = _parsed(line)
    except (ValueError, RecursionError):
        message = f"{place} is not JSON; each line must be an object by itself."
        raise PermanentError("schema_mismatch", message) from None
    if not isinstance(record, dict):
        raise PermanentError("schema_mismatch", f"{place} is not a JSON object.")
    problem = _problem(record, required, ranges) or check(record)
    if problem is not None:
        raise PermanentError("schema_mismatch", f"{place}: {problem}.")
    return record


def _problem(record: Record, required: Kinds, ranges: Ranges) -> str | None:
    for field, kind in required.items():
        if not isinstance(record.get(field), kind) or isinstance(record.get(field), bool):
            return f"the field '{field}' is missing or of a wrong kind"
    for field, (least, most) in ranges.items():
        if not least <= record[field] <= most:
            return f"the field '{field}' must be from {least:g} to {most:g}"
    return None


def chunks(
    ctx: JobContext,
    source: ChunksSource,
    field: str = "source",
    check: Check = lambda record: None,
    same: SameFile | None = None,
) -> Iterator[Record]:
    """At least `chunk_id`, `document_id` and `text`; of a document_processing job all that it writes."""
    if source.chunks is not None:
        for chunk_id, document_id, text in source.inline_chunks():
            yield {"chunk_id": chunk_id, "document_id": document_id, "text": text}
        return
    required: Kinds = {"chunk_id": str, "document_id": str, "text": str}
    yield from records(opened(ctx, source, CHUNKS, field), field, required, NO_RANGES, check, same)


def extractions(ctx: JobContext, source: ExtractionsSource, field: str, check: Check) -> Iterator[Record]:
    """At least `chunk_id`, `document_id`, `text`, `category_path` and `confidence`."""
    if source.extractions is not None:
        for n, extraction in enumerate(source.extractions):
            document_id = extraction.document_id or "inline"
            chunk_id = extraction.chunk_id or f"{document_id}:{n}"
            yield {**extraction.model_dump(), "chunk_id": chunk_id, "document_id": document_id}
        return
    required: Kinds = {
        "chunk_id": str,
        "document_id": str,
        "text": str,
        "category_path": list,
        "confidence": (int, float),
    }
    yield from records(opened(ctx, source, EXTRACTIONS, field), field, required, {"confidence": (0, 1)}, check)


def assignments(ctx: JobContext, source: AssignmentsSource, field: str, check: Check) -> Iterator[Record]:
    """At least `chunk_id`, `path` and `similarity`."""
    if source.assignments is not None:
        yield from (assignment.model_dump() for assignment in source.assignments)
        return
    required: Kinds = {"chunk_id": str, "path": list, "similarity": (int, float)}
    yield from records(opened(ctx, source, ASSIGNMENTS, field), field, required, {"similarity": (-1, 1)}, check)


def taxonomy(ctx: JobContext, source: TaxonomySource, field: str) -> Node:
    """The root of what was sent along, or of its file. `field`: the parameter that names it.

    Raises PermanentError `schema_mismatch`, `no_categories`, `source_too_large` or what `opened` raises.
    """
    try:
        return root_of(_taxonomy_file(ctx, source, field) if source.taxonomy is None else source.taxonomy)
    except TaxonomyError as error:
        first = error.mistakes[0]
        place = f", at {'.'.join(map(str, first.place))}" if first.place else ""
        raise PermanentError(first.code, f"The taxonomy of '{field}'{place}: {first.text}.") from None


def _taxonomy_file(ctx: JobContext, source: TaxonomySource, field: str) -> Any:
    with opened(ctx, source, TAXONOMY, field) as file:
        text = file.read(source.most_bytes + 1)
    if len(text) > source.most_bytes:
        raise PermanentError(TOO_LARGE, f"The taxonomy of '{field}' is larger than {source.most_bytes:,} bytes.")
    try:
        return _parsed(text)
    except (ValueError, RecursionError):
        raise PermanentError("schema_mismatch", f"The taxonomy of '{field}' is not JSON.") from None

"""Where a job's input comes from, checked at submit and read line by line when it runs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from samples.document_support import FakeContext

from worker.context import PermanentError, RetryableError
from worker.jobs.shared.reading import SameFile, chunks, opened
from worker.jobs.shared.refusals import MOST_TOLD
from worker.jobs.shared.source import ChunksSource, SourceJob, TaxonomySource, file_problems, jobs_of

LINE = {"chunk_id": "d:0", "document_id": "d", "text": "words"}


@pytest.fixture
def ctx(tmp_path: Path) -> FakeContext:
    (tmp_path / "jobs").mkdir()
    made = FakeContext(tmp_path / "jobs" / "own", tmp_path / "input")
    made.input_root.mkdir()
    return made


def leave(ctx: FakeContext, job_id: str, job_type: str = "document_processing", **files: str) -> None:
    """What an earlier job has left."""
    folder = ctx.folder.parent / job_id
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps({"job_type": job_type}))
    for name, text in files.items():
        (folder / f"{name}.jsonl").write_text(text)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "exactly one of job_id, path, chunks"),
        ({"job_id": "a", "path": "b"}, "exactly one of"),
        ({"path": "/etc/passwd"}, "relative to the input folder"),
        ({"job_id": "../x"}, "match pattern"),
        ({"chunks": []}, "at least 1"),
        ({"chunks": [{"text": "a", "more": 1}]}, "not permitted"),
        ({"taxonomy": {}}, "not permitted"),
        (
            {"chunks": [{"text": "a", "chunk_id": "x"}, {"text": "b"}, {"text": "c", "chunk_id": "x"}]},
            r"chunks\.2\.chunk_id\s+schema_mismatch: there are two chunks 'x'",
        ),
        ({"chunks": [{"text": "a", "chunk_id": "inline:1"}, {"text": "b"}]}, r"chunks\.1\.chunk_id"),
    ],
)
def test_a_source_is_one_of_three(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        ChunksSource.model_validate(given)


def test_the_server_learns_of_jobs_and_files(tmp_path: Path) -> None:
    (tmp_path / "there.jsonl").touch()
    source, taxonomy = ChunksSource(job_id="a"), TaxonomySource(path="missing.json")
    assert jobs_of(source=source, taxonomy=taxonomy, other=None) == (
        SourceJob(("source", "job_id"), "a", ("document_processing",)),
    )
    (tmp_path / "folder").mkdir()
    problems = file_problems(tmp_path, source=ChunksSource(path="folder"))
    assert problems == [(("source", "path"), "invalid_path: not a regular file")]
    problems = file_problems(tmp_path, source=ChunksSource(path="there.jsonl"), taxonomy=taxonomy)
    assert problems == [(("taxonomy", "path"), "source_not_found: not found in the input folder")]


def test_chunks_of_a_job_a_file_and_the_request(ctx: FakeContext) -> None:
    leave(ctx, "before", chunks=json.dumps(LINE) + "\n\n" + json.dumps(LINE | {"chunk_id": "d:1"}) + "\n")
    (ctx.input_root / "own.jsonl").write_text(json.dumps(LINE))
    assert [chunk["chunk_id"] for chunk in chunks(ctx, ChunksSource(job_id="before"), "source")] == ["d:0", "d:1"]
    assert list(chunks(ctx, ChunksSource(path="own.jsonl"), "source")) == [LINE]
    inline = ChunksSource.model_validate({"chunks": [{"text": "one"}, {"text": "two", "document_id": "x"}]})
    assert [chunk["chunk_id"] for chunk in chunks(ctx, inline, "source")] == ["inline:0", "x:1"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "Line 1 is not JSON"),
        ("[1]", "Line 1 is not a JSON object"),
        (json.dumps(LINE) + "\n" + json.dumps({"chunk_id": "d:1", "text": "x"}), "Line 2: the field 'document_id'"),
        (json.dumps(LINE | {"text": 5}), "Line 1: the field 'text'"),
        ("[" * 100_000, "Line 1 is not JSON"),
        (json.dumps(LINE | {"start": float("nan")}), "Line 1 is not JSON"),
        (json.dumps(LINE, indent=1), "Line 1 is not JSON; each line must be an object by itself"),
    ],
)
def test_a_mistake_in_a_file_has_a_place(ctx: FakeContext, text: str, words: str) -> None:
    (ctx.input_root / "bad.jsonl").write_text(text)
    with pytest.raises(PermanentError, match=f"source.chunks: {words}") as caught:
        list(chunks(ctx, ChunksSource(path="bad.jsonl"), "source.chunks"))
    assert caught.value.code == "schema_mismatch"


def test_halves_of_characters_become_question_marks(ctx: FakeContext) -> None:
    lines = [LINE | {"text": "a \ud83d b \U0001f600"}, LINE | {"document_id": "\udc00", "headings": ["\ud83d"]}]
    (ctx.input_root / "own.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    first, second = chunks(ctx, ChunksSource(path="own.jsonl"), "source")
    assert first["text"] == "a ? b \U0001f600"
    assert (second["document_id"], second["headings"]) == ("?", ["?"])


def test_an_earlier_job_that_left_nothing_or_something_else(ctx: FakeContext) -> None:
    leave(ctx, "other", "taxonomy_processing")
    leave(ctx, "empty")
    for job_id, code in (("gone", "source_failed"), ("other", "source_wrong_type"), ("empty", "source_failed")):
        with pytest.raises(PermanentError) as caught:
            list(chunks(ctx, ChunksSource(job_id=job_id), "source"))
        assert caught.value.code == code
        assert str(ctx.folder) not in str(caught.value)


def test_a_file_outside_of_the_input_folder(ctx: FakeContext) -> None:
    (ctx.folder / "secret.jsonl").write_text("{}")
    with pytest.raises(PermanentError) as caught:
        opened(ctx, ChunksSource(path="../jobs/own/secret.jsonl"), "chunks.jsonl", "source.chunks")
    assert caught.value.code == "outside_input_root" and ": source.chunks: " in str(caught.value)


def rewrite(file: Path) -> None:
    file.write_text(file.read_text().replace("words", "other"))


def replace(file: Path) -> None:
    new = file.with_suffix(".new")
    new.write_bytes(file.read_bytes())
    new.replace(file)


@pytest.mark.parametrize("change", [rewrite, replace, Path.touch])
@pytest.mark.parametrize("job_id", [None, "before"])
def test_a_file_that_is_another_at_the_second_reading(
    ctx: FakeContext, job_id: str | None, change: Callable[[Path], None]
) -> None:
    leave(ctx, "before", chunks=json.dumps(LINE))
    (ctx.input_root / "own.jsonl").write_text(json.dumps(LINE))
    file = ctx.input_root / "own.jsonl" if job_id is None else ctx.folder.parent / job_id / "chunks.jsonl"
    source, same = ChunksSource(job_id=job_id, path="own.jsonl" if job_id is None else None), SameFile()
    os.utime(file, (1, 1))
    assert list(chunks(ctx, source, "source", same=same)) == list(chunks(ctx, source, "source", same=same)) == [LINE]
    change(file)
    with pytest.raises(RetryableError, match=r"source: The file was changed") as caught:
        list(chunks(ctx, source, "source", same=same))
    assert caught.value.code == "file_changed"


def test_a_file_that_grows_while_it_is_read(ctx: FakeContext) -> None:
    (ctx.input_root / "own.jsonl").write_text(json.dumps(LINE) + "\n")
    found = chunks(ctx, ChunksSource(path="own.jsonl"), "source")
    next(found)
    with (ctx.input_root / "own.jsonl").open("a") as file:
        file.write(json.dumps(LINE))
    with pytest.raises(RetryableError, match="file_changed"):
        list(found)


def test_of_many_chunks_with_one_id_the_first_are_told() -> None:
    with pytest.raises(ValidationError) as caught:
        ChunksSource.model_validate({"chunks": [{"text": "a", "chunk_id": "b"}] * 500})
    assert [error["loc"][1] for error in caught.value.errors()] == list(range(1, MOST_TOLD + 1))

"""document_processing: the stored texts of an earlier job are cut anew, without reading the documents again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from samples import document_support as support

from worker.context import PermanentError
from worker.jobs.document_processing.parameters import Parameters
from worker.jobs.document_processing.run import run
from worker.jobs.shared.source import SourceJob

NAMES = ("handbook.pdf", "guide.md", "brief.txt")
AGAIN = {"skip_parsing": True, "source": {"job_id": "first"}}


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    """The folder of the jobs, with one of the samples and of a file that cannot be read."""
    (tmp_path / "jobs").mkdir()
    documents = [*({"path": name} for name in NAMES), {"text": "", "name": "empty.txt"}]
    context = support.FakeContext(tmp_path / "jobs" / "first", support.SAMPLES)
    run(context, Parameters.model_validate({"documents": documents}))
    return tmp_path / "jobs"


def again(jobs: Path, **values: Any) -> tuple[dict[str, Any], Any]:
    # No input folder: nothing may be read there.
    context = support.FakeContext(jobs / "second", jobs / "nowhere")
    return run(context, Parameters.model_validate(AGAIN | values)), context


def chunks_of(folder: Path) -> list[dict[str, Any]]:
    return support.read_lines(folder / "chunks.jsonl")


def test_same_chunking_gives_the_same_files(jobs: Path) -> None:
    """Pages and headings included."""
    result, context = again(jobs)
    assert (result["processed_documents"], result["failed_documents"], result["pages"]) == (3, 0, 12)
    assert (jobs / "second" / "chunks.jsonl").read_bytes() == (jobs / "first" / "chunks.jsonl").read_bytes()
    assert support.texts_of(jobs / "second") == support.texts_of(jobs / "first")
    done = [record for record in support.read_lines(jobs / "first" / "documents.jsonl") if not record["error"]]
    assert support.read_lines(jobs / "second" / "documents.jsonl") == done
    assert "Taking over 1/3 handbook.pdf" in {note[1] for note in context.notes}
    manifest = json.loads((jobs / "second" / "manifest.json").read_text("utf-8"))
    assert manifest["parameters"]["source"]["job_id"] == "first" and len(manifest["inputs"]) == 3


def test_other_chunking_of_the_same_texts(jobs: Path) -> None:
    result, _ = again(jobs, chunk_strategy="heading", chunk_size=200)
    assert result["chunk_strategy"] == "heading"
    texts = support.texts_of(jobs / "second")
    pieces = chunks_of(jobs / "second")
    for document_id, text in texts.items():
        support.check_chunks(text, [piece for piece in pieces if piece["document_id"] == document_id])
    assert len(pieces) > len(chunks_of(jobs / "first"))
    assert {piece["page_end"] for piece in pieces if piece["page_end"]} == set(range(1, 13))


def test_texts_that_were_cut_anew_can_be_cut_once_more(jobs: Path) -> None:
    again(jobs, chunk_strategy="character")
    context = support.FakeContext(jobs / "third", jobs)
    run(context, Parameters.model_validate({"skip_parsing": True, "source": {"job_id": "second"}}))
    assert chunks_of(jobs / "third") == chunks_of(jobs / "first")


@pytest.mark.parametrize("change", ["removed", "changed"])
def test_text_that_is_not_what_was_stored(jobs: Path, change: str) -> None:
    file = sorted((jobs / "first" / "text").iterdir())[1]
    file.unlink()
    if change == "changed":
        file.write_bytes(b"other words")
    result, _ = again(jobs)
    (error,) = result["errors"]
    assert (error["code"], error["name"], result["processed_documents"]) == ("source_failed", "guide.md", 2)


@pytest.mark.parametrize(
    ("manifest", "code"),
    [(None, "source_failed"), ("{}", "source_wrong_type"), ('{"job_type": "extraction"}', "source_wrong_type")],
)
def test_source_that_cannot_be_used(jobs: Path, manifest: str | None, code: str) -> None:
    (jobs / "first" / "manifest.json").unlink()
    if manifest is not None:
        (jobs / "first" / "manifest.json").write_text(manifest)
    with pytest.raises(PermanentError) as caught:
        again(jobs)
    assert caught.value.code == code


def test_source_without_texts(jobs: Path) -> None:
    (jobs / "first" / "documents.jsonl").write_text("")
    with pytest.raises(PermanentError, match="left no texts") as caught:
        again(jobs)
    assert caught.value.code == "source_failed"


def test_source_with_other_lines(jobs: Path) -> None:
    (jobs / "first" / "documents.jsonl").write_text('{"document_id": "x"}\n')
    with pytest.raises(PermanentError, match="Line 1") as caught:
        again(jobs)
    assert caught.value.code == "schema_mismatch"


def test_job_waits_for_its_source() -> None:
    assert Parameters.model_validate(AGAIN).source_jobs == (
        SourceJob(("source", "job_id"), "first", ("document_processing",)),
    )
    assert Parameters.model_validate({"documents": [{"path": "a"}]}).source_jobs == ()


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"documents": [{"path": "a.txt"}]}, "documents"),
        ({"source": None}, "source"),
        ({"source": {"path": "a.jsonl"}}, "source"),
        ({"source": {}}, "source"),
        ({"skip_parsing": False, "documents": [{"path": "a.txt"}]}, "source"),
        ({"skip_parsing": "yes"}, "skip_parsing"),
        ({"password": "x"}, "password"),
        ({"pages": "1-2"}, "pages"),
        ({"encoding": "utf-8"}, "encoding"),
        ({"parser": "auto"}, "parser"),
        ({"input_format": "pdf"}, "input_format"),
        ({"strip_boilerplate": False}, "strip_boilerplate"),
        ({"max_pages": 5}, "max_pages"),
    ],
)
def test_contradictions_are_refused(values: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Parameters.model_validate(AGAIN | values)
    assert field in {error["loc"][0] for error in caught.value.errors()}


def test_contradictions_come_with_all_other_mistakes() -> None:
    with pytest.raises(ValidationError) as caught:
        Parameters.model_validate({"chunk_size": 1, "chunk_strategy": "schema", "source": {"job_id": "x"}})
    assert {error["loc"][0] for error in caught.value.errors()} == {
        "chunk_size",
        "documents",
        "schema_definition",
        "source",
    }

"""extraction: the whole job, offline."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from samples.document_support import SAMPLES, ContextThatDoes, FakeContext, read_lines, texts_of
from samples.extraction_support import TAXONOMY, Job, corpus, one

from worker.context import JobCancelled, PermanentError, RetryableError
from worker.jobs.document_processing.parameters import Parameters as DocumentParameters
from worker.jobs.document_processing.run import run as run_documents
from worker.jobs.extraction.parameters import Parameters
from worker.jobs.extraction.run import run
from worker.jobs.shared import libraries, portions
from worker.jobs.shared.files import entry_of

FIELDS = {
    "extraction_id",
    "chunk_id",
    "document_id",
    "category_id",
    "category_path",
    "type",
    "text",
    "start",
    "end",
    "confidence",
    "method",
    "validated",
}


@pytest.mark.parametrize(
    ("count", "method"), [(30, "tfidf"), (199, "tfidf"), (200, "lsa_feedback"), (600, "lsa_feedback")]
)
def test_every_chunk_gets_its_category(tmp_path: Path, count: int, method: str) -> None:
    job = Job(tmp_path, corpus(count))
    right = sum(line["category_path"] == [line["document_id"]] for line in job.lines)
    assert right >= 0.95 * count
    assert len(job.lines) == job.result["total_results"] <= 1.02 * count
    assert {line["method"] for line in job.lines} == {method}
    assert ("small_corpus" in job.warnings) == (count < 200)


def test_result_and_lines(tmp_path: Path) -> None:
    job = Job(tmp_path, corpus(60))
    lines = job.lines
    assert all(set(line) == FIELDS for line in lines)
    assert len({line["extraction_id"] for line in lines}) == len(lines)
    assert job.result | {"warnings": []} == {
        "status": "completed",
        "processed_chunks": 60,
        "failed_chunks": 0,
        "chunks_with_results": len({line["chunk_id"] for line in lines}),
        "total_results": len(lines),
        "by_category": {
            topic: sum(x["category_path"] == [topic] for x in lines) for topic in job.result["by_category"]
        },
        "by_type": {"whole_text": len(lines)},
        "mean_confidence": round(sum(line["confidence"] for line in lines) / len(lines), 4),
        "threshold": 0.5,
        "validated": None,
        "uncovered_categories": [],
        "warnings": [],
        "artifacts": {"extractions": "extractions.jsonl", "manifest": "manifest.json"},
        "llm": None,
        "validation_llm": None,
        "errors": [],
    }
    assert all(0.5 <= line["confidence"] <= 1 and line["validated"] is None for line in lines)


def test_manifest(tmp_path: Path) -> None:
    job = Job(tmp_path, corpus(30), infer_relations=True, project_id="p", seed=7)
    manifest = json.loads((job.ctx.folder / "manifest.json").read_bytes())
    assert (manifest["job_type"], manifest["seed"], manifest["schema_version"]) == ("extraction", 7, 1)
    assert manifest["parameters"]["extraction_depth"] == 3
    assert manifest["parameters"]["project_id"] == "p"
    assert manifest["inputs"][0] == {
        "parameter": "source",
        "job_id": None,
        "path": "chunks.jsonl",
        "inline": False,
        "chunks": 30,
    }
    assert manifest["inputs"][1]["inline"] is True
    assert manifest["versions"]["scikit-learn"]
    for file in manifest["files"]:
        told = entry_of(job.ctx.folder / file["path"], file["path"], file["records"])
        assert (told.bytes, told.sha256) == (file["bytes"], file["sha256"])
    assert [file["path"] for file in manifest["files"]] == ["extractions.jsonl", "relations.jsonl"]
    assert job.result["artifacts"]["relations"] == "relations.jsonl"
    assert sorted(file.name for file in job.ctx.folder.iterdir()) == [
        "extractions.jsonl",
        "manifest.json",
        "relations.jsonl",
    ]


@pytest.mark.parametrize("granularity", ["chunk", "sentence"])
def test_texts_are_where_they_are_said_to_be(tmp_path: Path, granularity: str) -> None:
    names = ("handbook.pdf", "guide.md", "brief.txt", "inspection.docx", "tide-tables.html")
    documents = FakeContext(tmp_path / "documents", SAMPLES)
    given = {"documents": [{"path": name} for name in names], "chunk_size": 128, "overlap": 40}
    run_documents(documents, DocumentParameters.model_validate(given))
    ctx = FakeContext(tmp_path / "extraction", tmp_path)
    topics = [
        {"name": "tides"},
        {"name": "inspection"},
        {"name": "alarm"},
        {"name": "disinfection"},
        {"name": "reading"},
    ]
    values = {
        "source": {"job_id": "documents"},
        "taxonomy": {"taxonomy": {"name": "t", "children": topics}},
        "extraction_type": "both",
        "granularity": granularity,
        "fuzzy_keywords": True,
    }
    result = run(ctx, Parameters.model_validate(values))
    lines, texts = read_lines(ctx.folder / "extractions.jsonl"), texts_of(documents.folder)
    assert result["total_results"] == len(lines) > 50
    assert {"whole_text", "keyword", "number_unit"} <= {line["type"] for line in lines}
    for line in lines:
        assert texts[line["document_id"]][line["start"] : line["end"]] == line["text"]
    # Chunks overlap, yet nothing is told twice.
    places = [(x["document_id"], x["category_id"], x["type"], x["start"], x["end"]) for x in lines]
    assert len(set(places)) == len(places)


@pytest.mark.parametrize("count", [60, 300])
def test_two_runs_are_alike(tmp_path: Path, count: int) -> None:
    values = {"extraction_type": "both", "infer_relations": True, "granularity": "sentence"}
    first, second = (Job(tmp_path, corpus(count), name, **values) for name in ("a", "b"))
    assert first.result == second.result
    for name in ("extractions.jsonl", "relations.jsonl"):
        assert (first.ctx.folder / name).read_bytes() == (second.ctx.folder / name).read_bytes()


def test_progress_goes_up_and_counts_chunks(tmp_path: Path) -> None:
    notes = Job(tmp_path, corpus(1200), batch_size=100).ctx.notes
    fractions = [note[0] for note in notes]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert {note[3] for note in notes} == {1200}
    steps = [note[1] for note in notes]
    assert {"Counting words", "Looking for typical chunks", "Extracting", "Done"} <= set(steps)
    assert steps.count("Extracting") == 12


def test_fewer_long_chunks_are_worked_on_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = Job(tmp_path, corpus(60), "usual")
    monkeypatch.setattr(portions, "MOST_CHARACTERS", 1000)
    job = Job(tmp_path, corpus(60), "small")
    assert job.lines == usual.lines != []
    steps = [[note[1] for note in of.ctx.notes].count("Extracting") for of in (usual, job)]
    assert steps[0] == 1 and steps[1] > 5


def test_a_cancelled_job_ends_between_batches_and_leaves_nothing(tmp_path: Path) -> None:
    asked = 0

    def stop() -> None:
        nonlocal asked
        asked += 1
        if asked == 8:
            raise JobCancelled

    (tmp_path / "chunks.jsonl").write_text("".join(json.dumps(chunk) + "\n" for chunk in corpus(300)))
    ctx = FakeContext(tmp_path / "job", tmp_path, stop)
    values = {"source": {"path": "chunks.jsonl"}, "taxonomy": {"taxonomy": TAXONOMY}, "batch_size": 50}
    with pytest.raises(JobCancelled):
        run(ctx, Parameters.model_validate(values))
    assert ctx.notes[-1][1] == "Extracting"
    assert list(ctx.folder.iterdir()) == []


def test_chunks_that_are_changed_while_the_job_runs(tmp_path: Path) -> None:
    file = tmp_path / "chunks.jsonl"
    lines = [json.dumps(chunk) + "\n" for chunk in corpus(300)]
    file.write_text("".join(lines))
    ctx = ContextThatDoes(tmp_path / "job", tmp_path, "Compared words", lambda: file.write_text("".join(lines[::-1])))
    os.utime(file, (1, 1))
    values = {"source": {"path": "chunks.jsonl"}, "taxonomy": {"taxonomy": TAXONOMY}}
    with pytest.raises(RetryableError, match="source: The file was changed") as caught:
        run(ctx, Parameters.model_validate(values))
    assert caught.value.code == "file_changed" and list(ctx.folder.iterdir()) == []


def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "find_spec", lambda name: None if name == "regex" else object())
    with pytest.raises(PermanentError, match=r"regex is not installed; install the extra 'pipeline'") as caught:
        Job(tmp_path, one("a star"))
    assert caught.value.code == "missing_dependency"


@pytest.mark.parametrize("count", [1, 5, 20])
def test_few_chunks(tmp_path: Path, count: int) -> None:
    job = Job(tmp_path, corpus(count))
    assert job.result["processed_chunks"] == count
    assert [line["category_path"] for line in job.lines] == [[line["document_id"]] for line in job.lines]
    assert job.lines


def test_chunks_beyond_the_limit_are_left_out(tmp_path: Path) -> None:
    job = Job(tmp_path, corpus(40), max_chunks=30)
    assert job.result["processed_chunks"] == 30
    assert "chunks_left_out" in job.warnings
    assert any("10 chunks" in warning["message"] for warning in job.result["warnings"])


@pytest.mark.parametrize(
    ("chunks", "code", "words"),
    [
        ([], "no_chunks", "no chunks"),
        (one("a star") * 2, "schema_mismatch", "source: Line 2: the chunk_id 'd:0' occurs twice"),
        (one("a star", start=3, end=5), "schema_mismatch", "not the place of its text"),
        (
            one("a star", start="0", end=6),
            "schema_mismatch",
            "source: Line 1: start and end are not the place of its text",
        ),
        (one("zzz qqq"), "empty_profile", "No category has a word"),
    ],
)
def test_bad_chunks(tmp_path: Path, chunks: list[dict[str, Any]], code: str, words: str) -> None:
    with pytest.raises(PermanentError, match=words) as caught:
        Job(tmp_path, chunks)
    assert caught.value.code == code
    assert list((tmp_path / "job").iterdir()) == []


@pytest.mark.parametrize("text", ["", "the of and", "1 2 3", "Page intentionally left blank", "word{number}"])
@pytest.mark.parametrize("count", [30, 250])
def test_chunks_without_words_that_tell_them_apart(tmp_path: Path, text: str, count: int) -> None:
    chunks = [
        {"chunk_id": f"d:{number}", "document_id": "d", "text": text.replace("{number}", str(number))}
        for number in range(count)
    ]
    with pytest.raises(PermanentError) as caught:
        Job(tmp_path, chunks)
    assert caught.value.code == "empty_profile"
    addresses = [{**chunk, "text": f"{chunk['text']} write to a@b.example"} for chunk in chunks]
    job = Job(tmp_path, addresses, "b", extraction_type="entity", entity_patterns=["email"])
    assert {line["text"] for line in job.lines} == {"a@b.example"}


def test_a_category_whose_words_do_not_occur(tmp_path: Path) -> None:
    more = {"name": "Quantum chromodynamics", "description": "Gluons and quarks."}
    taxonomy = {"name": "t", "children": [*TAXONOMY["children"], more]}
    for count in (30, 300):
        job = Job(tmp_path, corpus(count), f"job{count}", taxonomy={"taxonomy": taxonomy})
        assert job.result["uncovered_categories"] == ["Quantum chromodynamics"]
        assert "empty_profile" in job.warnings
        assert "Quantum chromodynamics" not in job.result["by_category"]


def test_a_rare_word_of_a_category_counts_however_many_chunks_there_are(tmp_path: Path) -> None:
    chunks = [*corpus(1200), *one("The sextant shows the height of the sun, says the sextant's maker.")]
    taxonomy = {"name": "t", "children": [*TAXONOMY["children"], {"name": "Sextant"}]}
    job = Job(tmp_path, chunks, taxonomy={"taxonomy": taxonomy})
    assert [line["category_path"] for line in job.lines if line["document_id"] == "d"] == [["Sextant"]]


def test_a_text_like_no_category_gets_none(tmp_path: Path) -> None:
    chunks = [*corpus(30), *one("Parliament debated taxation and pensions until midnight.")]
    assert not [line for line in Job(tmp_path, chunks, confidence_threshold=0).lines if line["document_id"] == "d"]


def test_a_large_summary_is_cut(tmp_path: Path) -> None:
    nodes = [{"name": f"{'long name of a category ' * 10}{n}", "keywords": [{"term": f"word{n}"}]} for n in range(400)]
    chunks = [{"chunk_id": f"d:{n}", "document_id": "d", "text": f"Here is word{n}, once."} for n in range(400)]
    job = Job(tmp_path, chunks, taxonomy={"taxonomy": {"name": "t", "children": nodes}}, extraction_type="entity")
    assert len(json.dumps(job.result)) < 64 * 1024
    assert job.result["by_category_omitted"] + len(job.result["by_category"]) == 400

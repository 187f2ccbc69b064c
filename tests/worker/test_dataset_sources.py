"""dataset_generation: chunks, extractions and a taxonomy's assignments, alone and joined, good and bad."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from samples import dataset_support as support
from samples.document_support import read_lines

from worker.context import PermanentError

CHUNKS = support.chunks(12)
CLASSES: dict[str, Any] = {"generation_mode": "classification"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three earlier jobs, and their files as a user would have them."""
    jobs, files = tmp_path / "jobs", tmp_path / "input"
    support.leave(jobs, "documents", "document_processing", chunks=CHUNKS)
    read = {"job_id": "documents"}
    support.leave(jobs, "found", "extraction", read, extractions=support.extractions(CHUNKS))
    tree = {"name": "all", "children": [{"name": name} for name in ("storage", "transport", "safety", "unused")]}
    support.leave(
        jobs,
        "sorted",
        "taxonomy_processing",
        read,
        assignments=support.assignments(CHUNKS),
        taxonomy={"schema_version": 1, "taxonomy": tree},
    )
    files.mkdir()
    support.write_lines(files / "chunks.jsonl", CHUNKS)
    support.write_lines(files / "extractions.jsonl", support.extractions(CHUNKS))
    support.write_lines(files / "assignments.jsonl", support.assignments(CHUNKS))
    return tmp_path


def labelled(root: Path) -> dict[str, list[str]]:
    return {record["text"]: record["labels"] for _, record in support.records(root / "jobs" / "own")}


def error_of(root: Path, source: Any, **values: Any) -> PermanentError:
    with pytest.raises(PermanentError) as caught:
        support.generate(root, source, **values)
    assert list((root / "jobs" / "own").iterdir()) == []
    return caught.value


@pytest.mark.parametrize(
    ("source", "values"),
    [
        ({"job_id": "found"}, {}),
        ({"job_id": "sorted"}, {}),
        ({"job_id": "sorted"}, {"data_source": "taxonomy"}),
        ({"job_id": "documents"}, {"taxonomy": {"job_id": "sorted"}}),
        ({"path": "chunks.jsonl"}, {"taxonomy": {"job_id": "sorted"}}),
        ({"path": "extractions.jsonl"}, {"data_source": "extract"}),
        ({"path": "assignments.jsonl", "chunks": {"path": "chunks.jsonl"}}, {"data_source": "taxonomy"}),
        ({"extractions": {"job_id": "found"}, "chunks": {"job_id": "documents"}}, {}),
        ({"assignments": {"path": "assignments.jsonl"}, "chunks": CHUNKS}, {}),
        ({"chunks": CHUNKS}, {"taxonomy": {"job_id": "sorted"}}),
    ],
)
def test_labels_come_from_wherever_they_are(root: Path, source: Any, values: dict[str, Any]) -> None:
    result = support.generate(root, source, **CLASSES, **values)
    expected = {line["text"]: ["/".join(line["category_path"])] for line in support.extractions(CHUNKS)}
    assert labelled(root) == expected
    assert result["entries_count"] == len(CHUNKS) and result["quality"]["label_balance"] == 1.0


def test_sources_sent_along(root: Path) -> None:
    given = [
        {key: line[key] for key in ("text", "category_path", "chunk_id", "document_id")}
        for line in support.extractions(CHUNKS)
    ]
    support.generate(root, {"extractions": given}, **CLASSES)
    assert len(labelled(root)) == len(CHUNKS)


def test_chunks_alone_leave_labels_aside(root: Path) -> None:
    result = support.generate(root, {"job_id": "documents"}, data_source="chunks", taxonomy={"job_id": "sorted"})
    assert result["quality"]["label_balance"] is None and result["quality"]["category_coverage"] is None


def test_labels_required_when_the_job_turns_out_to_have_none(root: Path) -> None:
    error = error_of(root, {"job_id": "documents"}, **CLASSES)
    assert error.code == "labels_required" and "generation_mode 'classification' needs categories" in str(error)
    error = error_of(root, {"job_id": "documents"}, selected_categories=["safety"])
    assert error.code == "labels_required" and "selected_categories needs categories" in str(error)
    assert error_of(root, {"job_id": "sorted"}, only_validated=True).code == "labels_required"


def test_several_labels_the_surest_first(root: Path) -> None:
    more = support.extractions(CHUNKS[:1], category_path=["extra"], category_id="extra", confidence=0.95)
    support.write_lines(root / "input" / "more.jsonl", [*support.extractions(CHUNKS), *more])
    support.generate(root, {"path": "more.jsonl"}, data_source="extract", **CLASSES)
    assert labelled(root)[CHUNKS[0]["text"]] == ["extra", "storage/tanks"]


def test_min_confidence(root: Path) -> None:
    lines = support.extractions(CHUNKS)
    for line in lines[:20]:
        line["confidence"] = 0.3
    support.write_lines(root / "input" / "some.jsonl", lines)
    support.generate(root, {"path": "some.jsonl"}, data_source="extract", **CLASSES)
    assert labelled(root).keys() == {line["text"] for line in lines[20:]}
    error = error_of(root, {"job_id": "found"}, min_confidence=0.9)
    assert error.code == "no_records" and "of 48 extractions 48 are below min_confidence (0.9)" in str(error)


def test_similarities_are_looked_at_when_asked_for(root: Path) -> None:
    assert support.generate(root, {"job_id": "sorted"}, **CLASSES)["entries_count"] == len(CHUNKS)
    error = error_of(root, {"job_id": "sorted"}, min_confidence=0.5)
    assert "48 assignments 48 are below" in str(error)


def test_only_validated(root: Path) -> None:
    lines = support.extractions(CHUNKS)
    for line in lines[:20]:
        line["validated"] = True
    support.write_lines(root / "input" / "some.jsonl", lines)
    support.generate(root, {"path": "some.jsonl"}, data_source="extract", only_validated=True, **CLASSES)
    assert labelled(root).keys() == {line["text"] for line in lines[:20]}
    assert "48 are not validated" in str(error_of(root, {"job_id": "found"}, only_validated=True))


@pytest.mark.parametrize("name", ["storage", "storage/tanks", "storage-tanks", "Tanks"])
def test_selected_categories_by_id_name_and_path(root: Path, name: str) -> None:
    support.generate(root, {"job_id": "found"}, selected_categories=[name], **CLASSES)
    found = {label for labels in labelled(root).values() for label in labels}
    assert found == ({"storage/tanks", "storage/silos"} if name == "storage" else {"storage/tanks"})


def test_unknown_and_ambiguous_categories(root: Path) -> None:
    error = error_of(root, {"job_id": "found"}, selected_categories=["storage", "transprot"])
    assert error.code == "unknown_category" and "Did you mean 'transport'" in str(error)
    assert "selected_categories.1: There is no category 'transprot'." in str(error)
    more = support.extractions(CHUNKS[:1], category_path=["other", "tanks"], category_id="other-tanks")
    support.write_lines(root / "input" / "more.jsonl", [*support.extractions(CHUNKS), *more])
    error = error_of(root, {"path": "more.jsonl"}, data_source="extract", selected_categories=["tanks"])
    assert error.code == "ambiguous_category" and "'other/tanks', 'storage/tanks'" in str(error)
    error = error_of(root, {"job_id": "found"}, selected_categories=["unused"], taxonomy={"job_id": "sorted"})
    assert error.code == "no_records" and "48 are not in selected_categories" in str(error)


@pytest.mark.parametrize(
    ("value", "words"),
    [("NaN", "Line 2 is not JSON"), ("1e999", "'confidence' must be from 0 to 1"), ("-0.1", "Line 2: the field 'conf")],
)
def test_a_confidence_that_is_none(root: Path, value: str, words: str) -> None:
    line = json.dumps({**support.extractions(CHUNKS)[0], "confidence": 0.75})
    (root / "input" / "bad.jsonl").write_text(f"{line}\n{line.replace('0.75', value)}")
    error = error_of(root, {"path": "bad.jsonl"}, data_source="extract")
    assert error.code == "schema_mismatch" and words in str(error)


@pytest.mark.parametrize(
    ("source", "values", "field"),
    [
        ({"path": "bad.jsonl"}, {}, "source"),
        ({"path": "bad.jsonl", "chunks": {"path": "chunks.jsonl"}}, {"data_source": "extract"}, "source"),
        ({"chunks": {"path": "bad.jsonl"}, "extractions": {"path": "extractions.jsonl"}}, {}, "source.chunks"),
        ({"chunks": {"path": "chunks.jsonl"}, "extractions": {"path": "bad.jsonl"}}, {}, "source.extractions"),
        ({"chunks": {"path": "chunks.jsonl"}, "assignments": {"path": "bad.jsonl"}}, {}, "source.assignments"),
        ({"chunks": {"path": "chunks.jsonl"}}, {"taxonomy": {"job_id": "bad"}}, "taxonomy"),
    ],
)
def test_a_mistake_in_a_file_names_the_parameter(root: Path, source: Any, values: dict[str, Any], field: str) -> None:
    (root / "input" / "bad.jsonl").write_text("\n{")
    tree = {"schema_version": 1, "taxonomy": {"name": "all", "children": [{"name": "one"}]}}
    support.leave(root / "jobs", "bad", "taxonomy_processing", {"inline": True}, assignments=[], taxonomy=tree)
    (root / "jobs" / "bad" / "assignments.jsonl").write_text("\n{")
    assert f": {field}: Line 2 is not JSON" in str(error_of(root, source, **values))


@pytest.mark.parametrize("field", ["type", "category_id"])
@pytest.mark.parametrize("value", [["x"], {"a": 1}, 5, 0, False])
def test_kinds_and_ids_of_categories_are_texts(root: Path, field: str, value: object) -> None:
    lines = support.extractions(CHUNKS)
    lines[1][field] = value
    support.write_lines(root / "input" / "bad.jsonl", lines)
    error = error_of(root, {"path": "bad.jsonl"}, data_source="extract")
    assert error.code == "schema_mismatch" and f": source: Line 2: the field '{field}' must be a text" in str(error)


def test_ids_of_assignments_are_texts(root: Path) -> None:
    lines: list[dict[str, Any]] = support.assignments(CHUNKS)
    lines[1]["category_id"] = ["x"]
    support.write_lines(root / "input" / "bad.jsonl", lines)
    error = error_of(root, {"assignments": {"path": "bad.jsonl"}, "chunks": {"path": "chunks.jsonl"}})
    assert ": source.assignments: Line 2: the field 'category_id' must be a text" in str(error)


@pytest.mark.parametrize("more", [{}, {"type": None, "category_id": None}])
def test_kinds_and_ids_of_categories_may_be_left_out(root: Path, more: dict[str, Any]) -> None:
    lines = [
        {key: line[key] for key in line if key not in ("type", "category_id")} for line in support.extractions(CHUNKS)
    ]
    support.write_lines(root / "input" / "bare.jsonl", [line | more for line in lines])
    support.generate(root, {"path": "bare.jsonl"}, data_source="extract", **CLASSES)
    assert len(labelled(root)) == len(CHUNKS)


def test_a_missing_file_names_the_parameter(root: Path) -> None:
    error = error_of(root, {"chunks": {"path": "chunks.jsonl"}, "extractions": {"path": "gone.jsonl"}})
    assert error.code == "file_not_found" and ": source.extractions: There is no such file" in str(error)


def test_a_similarity_that_is_none(root: Path) -> None:
    support.write_lines(root / "input" / "bad.jsonl", [{"chunk_id": "c", "path": ["a"], "similarity": -1.5}])
    source = {"path": "bad.jsonl", "chunks": {"path": "chunks.jsonl"}}
    assert "'similarity' must be from -1 to 1" in str(error_of(root, source, data_source="taxonomy"))


def test_coverage_counts_the_categories_of_the_taxonomy(root: Path) -> None:
    result = support.generate(root, {"job_id": "found"}, taxonomy={"job_id": "sorted"}, **CLASSES)
    assert result["quality"]["category_coverage"] == 0.75
    own = {"name": "own", "children": [{"name": "safety"}]}
    result = support.generate(root, {"job_id": "found"}, taxonomy={"taxonomy": own}, **CLASSES)
    assert result["quality"]["category_coverage"] == 1.0
    (root / "input" / "bad.json").write_text('{"name": "a", "children": [{}]}')
    error = error_of(root, {"job_id": "found"}, taxonomy={"path": "bad.json"})
    assert error.code == "schema_mismatch" and "'taxonomy', at children.0.name: Field required" in str(error)


def test_spans_and_entities_of_extractions(root: Path) -> None:
    first = [line | {"text": line["text"].split(". ")[1] + "."} for line in support.extractions(CHUNKS)]
    entity = {"type": "email", "category_id": "entity:email", "category_path": ["email"]}
    second = [line | entity | {"text": line["text"].split()[0]} for line in support.extractions(CHUNKS)]
    support.leave(root / "jobs", "spans", "extraction", {"job_id": "documents"}, extractions=[*first, *second])
    support.generate(root, {"job_id": "spans"}, generation_mode="qa", datasets_per_chunk=20, min_output_chars=5)
    records = [record for _, record in support.records(root / "jobs" / "own")]
    answers = {(record["context"], record["answer"]) for record in records}
    for chunk, line in zip(CHUNKS, first, strict=True):
        assert (chunk["text"], line["text"]) in answers
        assert (chunk["text"], f"- {chunk['text'].split()[0]}") in answers
    assert any("tanks" in record["question"] for record in records)
    labels = support.generate(root, {"job_id": "spans"}, **CLASSES)["quality"]["label_balance"]
    assert labels == 1.0 and all(texts != ["email"] for texts in labelled(root).values())


def test_chunks_that_are_not_those_of_the_extractions(root: Path) -> None:
    other = support.chunks(3)
    for chunk in other:
        chunk["chunk_id"] = "x" + chunk["chunk_id"]
    error = error_of(root, {"job_id": "found", "chunks": other})
    assert error.code == "no_records" and "none of them belongs to a chunk" in str(error)


def test_chunks_that_were_not_kept(root: Path) -> None:
    inline = {"inline": True}
    support.leave(root / "jobs", "t", "taxonomy_processing", inline, assignments=support.assignments(CHUNKS))
    assert error_of(root, {"job_id": "t"}).code == "chunks_required"
    assert support.generate(root, {"job_id": "t", "chunks": CHUNKS}, **CLASSES)["entries_count"] == len(CHUNKS)
    support.leave(root / "jobs", "e", "extraction", inline, extractions=support.extractions(CHUNKS))
    assert support.generate(root, {"job_id": "e"}, **CLASSES)["entries_count"] == len(CHUNKS)


@pytest.mark.parametrize(
    ("source", "values", "code"),
    [
        ({"job_id": "gone"}, {}, "source_failed"),
        ({"job_id": "documents"}, {"data_source": "extract"}, "source_wrong_type"),
        ({"job_id": "documents"}, {"taxonomy": {"job_id": "found"}}, "source_wrong_type"),
        ({"path": "missing.jsonl"}, {}, "file_not_found"),
        ({"path": "../jobs/found/extractions.jsonl"}, {}, "outside_input_root"),
        ({"path": "bad.jsonl"}, {}, "schema_mismatch"),
        ({"path": "chunks.jsonl"}, {"data_source": "extract"}, "schema_mismatch"),
        ({"path": "nameless.jsonl"}, {"data_source": "extract"}, "schema_mismatch"),
        ({"path": "empty.jsonl"}, {"data_source": "extract"}, "schema_mismatch"),
    ],
)
def test_sources_that_cannot_be_read(root: Path, source: Any, values: dict[str, Any], code: str) -> None:
    (root / "input" / "bad.jsonl").write_text("{")
    support.write_lines(root / "input" / "nameless.jsonl", support.extractions(CHUNKS[:1], category_path=[5]))
    support.write_lines(root / "input" / "empty.jsonl", support.extractions(CHUNKS[:1], category_path=[]))
    error = error_of(root, source, **values)
    assert error.code == code and str(root) not in str(error)


def test_a_source_of_the_pipeline_in_one_run(root: Path) -> None:
    support.generate(root, {"job_id": "found"}, taxonomy={"job_id": "sorted"}, formats=["jsonl", "parquet"])
    manifest = json.loads((root / "jobs" / "own" / "manifest.json").read_text())
    named = {given["parameter"]: given["job_id"] for given in manifest["inputs"]}
    assert named == {"extractions": "found", "chunks": "documents", "taxonomy": "sorted"}
    inputs = {record["input"] for record in read_lines(root / "jobs" / "own" / "train.jsonl")}
    assert inputs & {chunk["text"] for chunk in CHUNKS}

"""dataset_generation: the whole job, what it writes, and what holds for it."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from samples import dataset_support as support
from samples.document_support import read_lines

from worker.context import PermanentError
from worker.jobs.dataset_generation.parameters import Parameters
from worker.jobs.dataset_generation.records import MODELS
from worker.jobs.dataset_generation.run import run

FORMATS = ["jsonl", "csv", "parquet", "json"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    root = tmp_path_factory.mktemp("whole")
    result = support.generate(root, {"chunks": support.chunks(20)}, formats=FORMATS, name="own")
    return root / "jobs" / "own", result


def refused(root: Path, source: Any, **values: Any) -> PermanentError:
    """Nothing may be left."""
    with pytest.raises(PermanentError) as caught:
        support.generate(root, source, **values)
    assert list((root / "jobs" / "own").iterdir()) == []
    return caught.value


def test_result(whole: tuple[Path, dict[str, Any]]) -> None:
    folder, result = whole
    records = support.records(folder)
    assert (result["status"], result["entries_count"]) == ("completed", len(records))
    assert result["splits"] == {split: sum(each == split for each, _ in records) for split in support.SPLITS}
    assert set(result["rejected"]) == {"duplicate", "too_short", "schema", "too_long", "ungrounded", "leakage"}
    assert (result["dataset_name"], result["version"]) == ("instruction-dataset", "1.0.0")
    assert [file["path"] for file in result["files"]] == [f"{s}.{kind}" for s in support.SPLITS for kind in FORMATS]
    for file in result["files"]:
        assert file["records"] == result["splits"][file["split"]] > 0
        assert file["bytes"] == (folder / file["path"]).stat().st_size
    assert result["quality"]["passed"] and result["quality"]["overall"] >= 0.7
    assert len(json.dumps(result)) < 64_000
    assert len(read_lines(folder / "rejected.jsonl")) == sum(result["rejected"].values())


@pytest.mark.parametrize(("chunks", "codes"), [(199, ["small_corpus"]), (200, [])])
def test_few_texts_are_warned_of(tmp_path: Path, chunks: int, codes: list[str]) -> None:
    result = support.generate(tmp_path, {"chunks": support.chunks(chunks, 1)})
    assert [warning["code"] for warning in result["warnings"]] == codes
    assert all("Below 200 texts" in warning["message"] for warning in result["warnings"])


def test_files_and_manifest(whole: tuple[Path, dict[str, Any]]) -> None:
    folder, result = whole
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["job_type"], manifest["seed"]) == ("dataset_generation", 42)
    assert manifest["parameters"]["schema"] == "alpaca"
    assert [given["parameter"] for given in manifest["inputs"]] == ["chunks"]
    listed = {entry["path"]: entry for entry in manifest["files"]}
    assert {file.name for file in folder.iterdir()} == {*listed, "manifest.json"}
    assert set(result["artifacts"].values()) <= {*listed, "manifest.json"}
    for name, entry in listed.items():
        data = (folder / name).read_bytes()
        assert (entry["bytes"], entry["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert listed["train.jsonl"]["records"] == result["splits"]["train"]


def test_all_formats_hold_the_same(whole: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = whole
    for split in support.SPLITS:
        lines = read_lines(folder / f"{split}.jsonl")
        assert json.loads((folder / f"{split}.json").read_text("utf-8")) == lines
        assert pq.read_table(folder / f"{split}.parquet").to_pylist() == lines
        assert pq.ParquetFile(folder / f"{split}.parquet").metadata.row_group(0).column(0).compression == "ZSTD"
        with (folder / f"{split}.csv").open(encoding="utf-8", newline="") as file:
            assert list(csv.DictReader(file)) == lines


def test_every_answer_is_in_its_document_and_documents_are_in_one_split(whole: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = whole
    texts = {chunk["text"]: chunk["document_id"] for chunk in support.chunks(20)}
    places: dict[str, set[str]] = {}
    for split, record in support.records(folder):
        parts = [line.removeprefix("- ") for line in record["output"].split("\n")]
        homes = {document for text, document in texts.items() if all(part in text for part in parts)}
        if record["input"] in texts:
            homes &= {texts[record["input"]]}
        assert homes, record
        if len(homes) == 1:
            places.setdefault(homes.pop(), set()).add(split)
    assert len(places) == 20
    assert all(len(splits) == 1 for splits in places.values())


def test_card_and_schema(whole: tuple[Path, dict[str, Any]]) -> None:
    folder, result = whole
    card = (folder / "README.md").read_text("utf-8")
    head = card.split("---\n")[1]
    assert 'pretty_name: "instruction-dataset"' in head and "  - split: test\n    path: test.parquet\n" in head
    assert "**Offline mode writes no new prose**" in card
    assert f"| train | {result['splits']['train']} |" in card
    schema = json.loads((folder / "schema.json").read_text())
    assert schema["$schema"].startswith("https://json-schema.org/") and schema["additionalProperties"] is False
    assert schema["required"] == ["instruction", "input", "output"]


def test_two_runs_are_equal_byte_by_byte(whole: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    folder, result = whole
    again = support.generate(tmp_path, {"chunks": support.chunks(20)}, formats=FORMATS)
    assert again == result
    for file in folder.iterdir():
        if file.name != "manifest.json":
            assert (tmp_path / "jobs" / "own" / file.name).read_bytes() == file.read_bytes(), file.name


def test_another_seed_asks_and_splits_differently(whole: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    support.generate(tmp_path, {"chunks": support.chunks(20)}, seed=7)
    first, other = support.records(whole[0]), support.records(tmp_path / "jobs" / "own")
    assert {record["instruction"] for _, record in first} & {record["instruction"] for _, record in other}
    assert first != other


def test_progress_and_cancel(tmp_path: Path) -> None:
    ctx = support.context(tmp_path)
    given = Parameters.model_validate({"source": {"chunks": support.chunks(10)}})
    run(ctx, given)
    fractions = [fraction for fraction, *_ in ctx.notes]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    assert {"Read the source", "Making and checking records", "Wrote the records"} <= {
        step for _, step, *_ in ctx.notes
    }
    assert all(done <= total for _, _, done, total in ctx.notes)

    class Stopped(Exception):
        pass

    def stop() -> None:
        raise Stopped

    stopped = support.context(tmp_path, "stopped")
    stopped.check = stop
    with pytest.raises(Stopped):
        run(stopped, given)
    assert list(stopped.folder.iterdir()) == []


@pytest.mark.parametrize("schema", ["alpaca", "messages", "text"])
def test_schemas_of_instructions(tmp_path: Path, schema: str) -> None:
    support.generate(tmp_path, {"chunks": support.chunks()}, schema=schema, formats=["jsonl", "parquet", "csv"])
    records = support.records(tmp_path / "jobs" / "own")
    for _, record in records:
        MODELS[schema].model_validate(record)  # type: ignore[index]
        if schema == "messages":
            assert [message["role"] for message in record["messages"]] == ["user", "assistant"]
            assert all(message.keys() == {"role", "content"} for message in record["messages"])
        if schema == "text":
            assert record["text"].startswith("### Instruction:\n") and "### Response:\n" in record["text"]
    lines = [record for split, record in records if split == "train"]
    assert pq.read_table(tmp_path / "jobs" / "own" / "train.parquet").to_pylist() == lines
    if schema == "messages":
        with (tmp_path / "jobs" / "own" / "train.csv").open(encoding="utf-8", newline="") as file:
            assert [json.loads(row["messages"]) for row in csv.DictReader(file)] == [r["messages"] for r in lines]


@pytest.mark.parametrize(
    ("mode", "tasks"),
    [
        ("instruction", {"about", "key_points", "terms", "cloze"}),
        ("qa", {"about"}),
        ("summarization", {"sentence", "summary"}),
        ("completion", {"completion"}),
    ],
)
def test_modes(tmp_path: Path, mode: str, tasks: set[str]) -> None:
    result = support.generate(tmp_path, {"chunks": support.chunks()}, generation_mode=mode)
    assert set(result["quality"]["tasks"]) == tasks
    assert result["quality"]["groundedness"] == result["quality"]["schema_validity"] == 1.0


def test_completion_cuts_a_text_in_two(tmp_path: Path) -> None:
    given = support.chunks()
    support.generate(tmp_path, {"chunks": given}, generation_mode="completion", schema="alpaca")
    texts = {chunk["text"] for chunk in given}
    for _, record in support.records(tmp_path / "jobs" / "own"):
        assert record["input"] + record["output"] in texts and record["output"]


def test_headings_become_questions(tmp_path: Path) -> None:
    chunks = []
    for chunk in support.chunks(6, 1):
        name = chunk["document_id"]
        for part in range(2):
            text = f"## Cleaning of {name}\n\n{support.text(part + 1000 * int(name[1:]))}"
            more = {"chunk_id": f"{name}:{part}", "text": text, "headings": ["Manual", f"Cleaning of {name}"]}
            chunks.append(chunk | more)
    (tmp_path / "input").mkdir()
    support.write_lines(tmp_path / "input" / "chunks.jsonl", chunks)
    support.generate(tmp_path, {"path": "chunks.jsonl"}, generation_mode="qa", datasets_per_chunk=20)
    asked = [record for _, record in support.records(tmp_path / "jobs" / "own") if "Cleaning of" in record["question"]]
    assert len(asked) == 6, "once for each section"
    for record in asked:
        assert "(Manual)" in record["question"] and record["context"] == ""
        assert not record["answer"].startswith("#") and record["answer"] in "".join(c["text"] for c in chunks)


def test_datasets_per_chunk(tmp_path: Path) -> None:
    for most in (1, 4):
        support.generate(tmp_path, {"chunks": support.chunks()}, f"most{most}", datasets_per_chunk=most)
    one, four = (len(support.records(tmp_path / "jobs" / f"most{most}")) for most in (1, 4))
    assert one == 40 and 3 * one < four <= 4 * one


def test_too_short_and_too_long(tmp_path: Path) -> None:
    result = support.generate(tmp_path, {"chunks": support.chunks()}, min_output_chars=120, max_record_tokens=200)
    rejected = read_lines(tmp_path / "jobs" / "own" / "rejected.jsonl")
    assert result["rejected"]["too_short"] > 0 and result["rejected"]["too_long"] > 0
    for line in rejected:
        assert set(line) == {"reason", "document_id", "chunk_id", "task", "record"}
        assert line["reason"] != "too_short" or len(line["record"]["output"]) < 120
    assert all(len(record["output"]) >= 120 for _, record in support.records(tmp_path / "jobs" / "own"))


def test_nothing_is_left_when_all_is_refused(tmp_path: Path) -> None:
    error = refused(tmp_path, {"chunks": support.chunks()}, min_output_chars=10_000)
    assert error.code == "no_records" and "too_short" in str(error)


def test_empty_chunks(tmp_path: Path) -> None:
    assert refused(tmp_path, {"chunks": [{"text": " \n "}]}).code == "no_chunks"
    (tmp_path / "input" / "none.jsonl").touch()
    assert refused(tmp_path, {"path": "none.jsonl"}).code == "no_chunks"
    given = [*support.chunks(), {"chunk_id": "x", "document_id": "x", "text": "\n"}]
    assert support.generate(tmp_path, {"chunks": given})["entries_count"] > 0


def test_quality_threshold(tmp_path: Path) -> None:
    given = {"chunks": support.chunks()}
    error = refused(tmp_path, given, quality_threshold=0.99, fail_below_quality=True)
    assert error.code == "quality_threshold_not_met" and "0.99" in str(error)
    result = support.generate(tmp_path, given, quality_threshold=0.99)
    assert result["quality"]["passed"] is False
    without = support.generate(tmp_path, given, "without", analyze_quality=False)
    assert without["quality"] is None and not (tmp_path / "jobs" / "without" / "quality.json").exists()


def test_a_job_run_again_leaves_nothing_of_before(tmp_path: Path) -> None:
    support.generate(tmp_path, {"chunks": support.chunks()}, formats=["csv"])
    support.generate(tmp_path, {"chunks": support.chunks()}, formats=["jsonl"], splits={"train": 0.5, "test": 0.5})
    names = {file.name for file in (tmp_path / "jobs" / "own").iterdir()}
    described = {"README.md", "manifest.json", "quality.json", "rejected.jsonl", "schema.json"}
    assert names == {"train.jsonl", "test.jsonl", *described}


def test_a_missing_library_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.jobs.shared.libraries.find_spec", lambda name: None if name == "pyarrow" else 1)
    given = {"source": {"chunks": support.chunks()}}
    assert run(support.context(tmp_path), Parameters.model_validate(given))["status"] == "completed"
    with pytest.raises(PermanentError, match=r"pyarrow is not installed; install the extra 'pipeline'") as caught:
        run(support.context(tmp_path), Parameters.model_validate({**given, "formats": ["parquet"]}))
    assert caught.value.code == "missing_dependency"

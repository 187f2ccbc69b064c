"""document_processing: the whole job on samples and on trouble of every kind."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import pytest
from samples import document_support as support
from samples import make_samples

from worker.context import PermanentError
from worker.jobs.document_processing import run as run_module
from worker.jobs.document_processing.outcome import Outcome, verdict
from worker.jobs.document_processing.parameters import Parameters
from worker.jobs.document_processing.run import run

SAMPLES = ("handbook.pdf", "guide.md", "brief.txt", "inspection.docx", "tide-tables.html")


def run_files(tmp_path: Path, files: dict[str, bytes], **values: Any) -> dict[str, Any]:
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    parameters = Parameters.model_validate({"documents": [{"path": name} for name in files], **values})
    return run(support.FakeContext(tmp_path / "job", tmp_path), parameters)


def run_samples(folder: Path, **values: Any) -> tuple[dict[str, Any], Any]:
    ctx = support.FakeContext(folder, support.SAMPLES)
    parameters = Parameters.model_validate({"documents": [{"path": name} for name in SAMPLES], **values})
    return run(ctx, parameters), ctx


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], Any]:
    folder = tmp_path_factory.mktemp("samples") / "job"
    return folder, *run_samples(folder)


def test_result(samples: tuple[Path, dict[str, Any], Any]) -> None:
    folder, result, _ = samples
    assert (result["status"], result["processed_documents"], result["failed_documents"]) == ("completed", 5, 0)
    assert result["by_type"] == {"docx": 1, "html": 1, "markdown": 1, "pdf": 1, "text": 1}
    assert (result["pages"], result["chunk_strategy"], result["errors"]) == (12, "token", [])
    assert result["total_chunks"] == len(support.read_lines(folder / "chunks.jsonl"))
    assert result["characters"] == sum(map(len, support.texts_of(folder).values()))
    row = result["documents"][0]
    assert (row["name"], row["type"], row["pages"], row["status"], row["error"]) == (
        "handbook.pdf",
        "pdf",
        12,
        "completed",
        None,
    )
    assert result["artifacts"] == {
        "documents": "documents.jsonl",
        "chunks": "chunks.jsonl",
        "manifest": "manifest.json",
    }


def test_chunks_of_samples(samples: tuple[Path, dict[str, Any], Any]) -> None:
    folder = samples[0]
    texts = support.texts_of(folder)
    groups = groupby(support.read_lines(folder / "chunks.jsonl"), lambda piece: piece["document_id"])
    seen = {}
    for document_id, pieces in groups:
        seen[document_id] = list(pieces)
        support.check_chunks(texts[document_id], seen[document_id])
    assert list(seen) == sorted(texts)
    handbook, guide, brief, inspection, tides = seen.values()
    assert {piece["headings"][0] for piece in handbook} >= {"Disinfection", "Alarms", "Glossary"}
    assert (handbook[0]["page_start"], handbook[-1]["page_end"]) == (1, 12)
    assert all(first["page_end"] <= second["page_end"] for first, second in pairwise(handbook))
    assert any("def read(lines)" in piece["text"] for piece in guide)
    assert guide[-1]["headings"] == ["A weather station on the roof", "Checking the data"]
    assert "« Une horloge qu’on remonte" in brief[-1]["text"] and brief[0]["page_start"] is None
    assert inspection[-1]["headings"] == ["What to do"]
    assert any(
        "| Handrail posts 4 and 9 | soft at the foot | replace | June |" in piece["text"] for piece in inspection
    )
    assert "columns.append(cos(speed * times))" in "".join(piece["text"] for piece in tides)


def test_documents_of_samples(samples: tuple[Path, dict[str, Any], Any]) -> None:
    records = support.read_lines(samples[0] / "documents.jsonl")
    assert [record["encoding"] for record in records] == [None, "utf-8", "cp1252", None, "utf-8"]
    assert [record["parser"] for record in records] == ["pdfium", "text", "text", "mammoth", "html"]
    for record, name in zip(records, SAMPLES, strict=True):
        data = (support.SAMPLES / name).read_bytes()
        assert (record["source"], record["bytes"]) == ({"path": name}, len(data))
        assert record["sha256"] == hashlib.sha256(data).hexdigest()
        assert (samples[0] / record["text_file"]).stem == record["document_id"]
        assert (record["status"], record["error"], record["warnings"]) == ("completed", None, [])


def test_manifest(samples: tuple[Path, dict[str, Any], Any]) -> None:
    folder = samples[0]
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    assert (manifest["schema_version"], manifest["job_type"]) == (1, "document_processing")
    assert (manifest["parameters"]["chunk_size"], manifest["parameters"]["overlap"]) == (512, 50)
    assert manifest["versions"]["pypdfium2"]
    files = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    assert {entry["path"] for entry in manifest["files"]} == files - {"manifest.json"}
    for entry in manifest["files"]:
        data = (folder / entry["path"]).read_bytes()
        assert (entry["bytes"], entry["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
        assert entry["records"] == (data.count(b"\n") if entry["path"].endswith(".jsonl") else 1)


def test_progress(samples: tuple[Path, dict[str, Any], Any]) -> None:
    notes = samples[2].notes
    assert all(first[0] <= second[0] for first, second in pairwise(notes))
    # What is counted begins anew with each stage, and only then.
    anew = [second[1] for first, second in pairwise(notes) if second[2] < first[2]]
    assert anew == ["Looking for repeated lines", "Chunking 1/5 handbook.pdf", "Writing the manifest"]
    assert "Parsing 1/5 handbook.pdf" in {step for _, step, _, _ in notes}
    assert notes[-1] == (1.0, "Done", 5, 5)


def test_two_runs_give_the_same_bytes(samples: tuple[Path, dict[str, Any], Any], tmp_path: Path) -> None:
    run_samples(tmp_path / "job")
    for file in samples[0].rglob("*"):
        if file.is_file() and file.name != "manifest.json":
            assert (tmp_path / "job" / file.relative_to(samples[0])).read_bytes() == file.read_bytes()


def test_samples_are_what_their_generator_makes() -> None:
    for name in make_samples.SOURCES:
        assert (support.SAMPLES / name).read_bytes() == make_samples.make(name)


def test_every_error_has_its_code(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.txt").symlink_to("/etc/hostname")
    trouble = {
        "empty.txt": (b"", "empty_file"),
        "broken.pdf": (b"%PDF-1.4 junk", "corrupt_file"),
        "locked.pdf": (support.encrypted_pdf("x", user="y"), "encrypted"),
        "scan.pdf": (support.pdf_of_streams([(b"0 0 9 9 re f", b"")]), "no_text_layer"),
        "long.pdf": (support.make_pdf(*[["x"]] * 6), "too_many_pages"),
        "data.txt": (b"a\0b", "binary_content"),
        "office.docx": (b"PK\x03\x04", "corrupt_file"),
        "big.txt": (b"x" * 20_001, "document_too_large"),
        "wordy.txt": (b"word " * 3000, "too_many_characters"),
        "blank.txt": (b" \n\t ", "no_text"),
        "fine.txt": (b"fine text", None),
    }
    for name, (data, _) in trouble.items():
        (tmp_path / name).write_bytes(data)
    expected = {name: code for name, (_, code) in trouble.items()}
    expected |= {
        "missing.txt": "file_not_found",
        "link.txt": "outside_input_root",
        "../up.txt": "outside_input_root",
        "folder": "invalid_path",
        "n" * 300: "invalid_path",
    }
    limits = {"max_document_bytes": 20_000, "max_pages": 5, "max_characters": 10_000}
    parameters = Parameters.model_validate({"documents": [{"path": name} for name in expected], **limits})
    result: Any = run(support.FakeContext(tmp_path / "job", tmp_path), parameters)
    records = support.read_lines(tmp_path / "job" / "documents.jsonl")
    assert {record["name"]: record["error"] and record["error"]["code"] for record in records} == expected
    assert result["failed_documents"] == len(expected) - 1 == len(result["errors"])
    assert all(
        set(error) == {"code", "message", "stage", "retryable", "document_id", "name"} for error in result["errors"]
    )
    assert str(tmp_path) not in json.dumps(result["errors"]) and "/etc" not in json.dumps(result["errors"])
    assert [file.stem for file in (tmp_path / "job" / "text").iterdir()] == [records[10]["document_id"]]


def test_warnings(tmp_path: Path) -> None:
    run_files(tmp_path, {"page.txt": support.make_pdf(["words"]), "bad.txt": b"caf\xe9 \x81"}, encoding="cp1252")
    first, second = support.read_lines(tmp_path / "job" / "documents.jsonl")
    assert [warning["code"] for warning in first["warnings"]] == ["extension_mismatch"]
    assert [(warning["code"], warning["count"]) for warning in second["warnings"]] == [("decode_errors", 1)]
    assert (second["encoding"], second["characters"]) == ("cp1252", 6)


def test_pages_are_for_pdfs(tmp_path: Path) -> None:
    result = run_files(tmp_path, {"a.pdf": support.make_pdf(["one"], ["two"]), "b.txt": b"words"}, pages="2")
    assert [(row["pages"], row["warnings"]) for row in result["documents"]] == [(1, []), (None, ["pages_ignored"])]
    pieces = support.read_lines(tmp_path / "job" / "chunks.jsonl")
    assert [(piece["text"], piece["page_start"]) for piece in pieces] == [("two", 2), ("words", None)]


def test_chunks_by_heading(tmp_path: Path) -> None:
    result, _ = run_samples(tmp_path / "job", chunk_strategy="heading", heading_levels=[1, 2])
    assert result["chunk_strategy"] == "heading"
    texts, seen = support.texts_of(tmp_path / "job"), []
    groups = groupby(support.read_lines(tmp_path / "job" / "chunks.jsonl"), lambda piece: piece["document_id"])
    for document_id, pieces in groups:
        found = list(pieces)
        support.check_chunks(texts[document_id], found)
        seen += [(piece["strategy"], piece["headings"][-1:]) for piece in found]
    assert {strategy for strategy, _ in seen} == {"heading"}
    # One section of each format that has headings.
    for title in ("Cleaning the screens", "What you need", "Next visit", "Printing"):
        assert ("heading", [title]) in seen


def test_inline_documents(tmp_path: Path) -> None:
    documents = [{"text": "# Title\r\n\r\nBody e\u0301 \u2028 \ud800", "name": "note.md"}, {"text": "", "name": "none"}]
    parameters = Parameters.model_validate({"documents": documents, "chunk_strategy": "character"})
    result: Any = run(support.FakeContext(tmp_path / "job", tmp_path), parameters)
    assert [error["code"] for error in result["errors"]] == ["empty_file"]
    # One line is one record for readers that also end lines at U+2028.
    (line,) = (tmp_path / "job" / "chunks.jsonl").read_text("utf-8").splitlines()
    piece = json.loads(line)
    assert (piece["text"], piece["headings"]) == ("# Title\n\nBody é \u2028 ?", ["Title"])
    manifest = (tmp_path / "job" / "manifest.json").read_text("utf-8")
    assert "Body" not in manifest and '"inline": "note.md"' in manifest


def test_same_content_twice_is_two_documents(tmp_path: Path) -> None:
    result = run_files(tmp_path, {"a.txt": b"the same words", "b.txt": b"the same words"})
    assert len({row["document_id"] for row in result["documents"]}) == 2


def test_all_failed(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match=r"a\.txt: empty_file, .* And 1 more\.") as caught:
        run_files(tmp_path, dict.fromkeys(("a.txt", "b.txt", "c.txt", "d.txt"), b""))
    assert caught.value.code == "no_documents_parsed"
    assert len(support.read_lines(tmp_path / "job" / "documents.jsonl")) == 4


def test_fail_fast(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match=r"b\.txt: empty_file") as caught:
        run_files(tmp_path, {"a.txt": b"x", "b.txt": b"", "c.txt": b"x"}, fail_fast=True)
    assert caught.value.code == "document_failed"
    assert len(support.read_lines(tmp_path / "job" / "documents.jsonl")) == 2


@pytest.mark.parametrize(("rate", "stops"), [(0.0, True), (0.49, True), (0.5, False)])
def test_max_error_rate(tmp_path: Path, rate: float, stops: bool) -> None:
    files = {"a.txt": b"x", "b.txt": b"", "c.txt": b"", "d.txt": b"x"}
    if not stops:
        assert run_files(tmp_path, files, max_error_rate=rate)["failed_documents"] == 2
        return
    with pytest.raises(PermanentError) as caught:
        run_files(tmp_path, files, max_error_rate=rate)
    assert caught.value.code == "too_many_errors"


@pytest.mark.parametrize(("failed", "stops"), [(29, False), (30, True)])
def test_exactly_the_part_that_may_fail_may_fail(failed: int, stops: bool) -> None:
    error = {"code": "empty_file", "message": "The file is empty.", "retryable": False}
    outcome = Outcome({"name": "a", "status": "failed", "error": error})
    given = Parameters.model_validate({"documents": [{"path": "a"}], "max_error_rate": 0.29})
    assert (verdict([outcome] * failed, given, 100) is not None) is stops


def test_result_stays_small(tmp_path: Path) -> None:
    documents = [{"text": "" if n % 2 else "words", "name": f"{n:03}" + "€" * 250} for n in range(120)]
    result = run(support.FakeContext(tmp_path / "job", tmp_path), Parameters.model_validate({"documents": documents}))
    assert len(json.dumps(result)) < 64 * 1024
    assert (result["processed_documents"], result["failed_documents"]) == (60, 60)
    assert len(support.read_lines(tmp_path / "job" / "documents.jsonl")) == 120


def test_missing_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "_MODULES", ("pypdfium2", "no_such_library"))
    with pytest.raises(PermanentError, match="no_such_library is not installed") as caught:
        run_files(tmp_path, {"a.txt": b"x"})
    assert caught.value.code == "missing_dependency"


def test_the_job_itself_loads_no_parser(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from samples.document_support import FakeContext\n"
        "from worker.jobs.document_processing import run, parameters\n"
        "given = parameters.Parameters.model_validate({'documents': [{'name': 'x', 'text': 'some text'}]})\n"
        "run.run(FakeContext(Path(sys.argv[1]) / 'job', Path(sys.argv[1])), given)\n"
        "sys.exit(', '.join(set(run._MODULES) & set(sys.modules)) or 0)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=environment, check=True)

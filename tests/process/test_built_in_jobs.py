"""The four built-in job types as users have them: over HTTP, in a worker's children, on files."""

from __future__ import annotations

import hashlib
import json
import time
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import psutil
import pytest
from bench.pipeline_files import made_up_chunks
from samples.document_support import SAMPLES
from support import System, running, wait_for

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

FILES: Final = ("brief.txt", "guide.md", "handbook.pdf", "inspection.docx", "tide-tables.html")
CHUNKS: Final = 12_000
MOST_CHUNKS: Final = 60_000


def small(count: int = 60) -> list[dict[str, object]]:
    return list(made_up_chunks(count))


# Two chunks of different subjects describe two categories.
TAXONOMY: Final = {
    "name": "Made up",
    "children": [{"name": f"Subject {n}", "description": str(chunk["text"])} for n, chunk in enumerate(small(2))],
}


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    for made in running(tmp_path_factory.mktemp("system")):
        made.server()
        made.worker()
        fill(made.folder / "input")
        yield made


def fill(folder: Path) -> None:
    (folder / "empty.txt").touch()
    (folder / "good.jsonl").write_text("".join(json.dumps(chunk) + "\n" for chunk in small()))
    (folder / "bad.jsonl").write_text(json.dumps(small(1)[0]) + '\n{"chunk_id": 3}\n')
    most = list(made_up_chunks(MOST_CHUNKS))
    many = most[:CHUNKS]
    for name, chunks in (("most", most), ("many", many)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(chunk) + "\n" for chunk in chunks))
    (folder / "long.txt").write_text("".join(f"{chunk['text']}.\n" for chunk in many))


def upload(system: System) -> list[str]:
    """The ids of the sample files, sent as a browser's form sends them."""
    boundary = uuid.uuid4().hex
    parts = b""
    for name in FILES:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
        parts += head.encode() + (SAMPLES / name).read_bytes() + b"\r\n"
    request = urllib.request.Request(
        f"{system.url}/api/v1/jobs/files?user_id=ann",
        parts + f"--{boundary}--\r\n".encode(),
        {"Content-Type": f"multipart/form-data; boundary={boundary}"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return [file["file_id"] for file in json.load(answer)["files"]]


def run_pipeline(system: System, file_ids: list[str]) -> dict[str, str]:
    """The ids of the four jobs, all completed."""
    body = {
        "user_id": "ann",
        "documents": [{"file_id": file_id} for file_id in file_ids],
        "document_processing": {"chunk_size": 64, "overlap": 0},
    }
    code, answer = system.http("POST", "/pipeline", body)
    assert code == 202, answer
    jobs: dict[str, str] = answer["jobs"]
    for job_type, job_id in jobs.items():
        ended = wait_for(lambda job_id=job_id: has_ended(system, job_id), f"the end of {job_type}", 120)
        assert ended["status"] == "completed", (job_type, ended["error"])
        assert ended["progress"] == 1.0
    return jobs


def has_ended(system: System, job_id: str) -> dict[str, Any] | None:
    status = system.status(job_id)
    return status if status["status"] in ("completed", "failed", "cancelled") else None


def download(system: System, job_id: str, name: str) -> bytes:
    with urllib.request.urlopen(
        f"{system.url}/api/v1/jobs/result/{job_id}/files/{name}?user=ann", timeout=30
    ) as answer:
        content: bytes = answer.read()
    return content


def lines(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content.splitlines()]


def listed(system: System, job_id: str) -> dict[str, dict[str, Any]]:
    code, answer = system.http("GET", f"/result/{job_id}/files?user=ann")
    assert code == 200, answer
    return {file["name"]: file for file in answer["files"]}


def test_from_files_to_a_training_set(system: System) -> None:
    file_ids = upload(system)
    jobs = run_pipeline(system, file_ids)
    documents, _, extraction, dataset = jobs.values()
    chunks = lines(download(system, documents, "chunks.jsonl"))
    texts = {
        record["document_id"]: download(system, documents, record["text_file"]).decode()
        for record in lines(download(system, documents, "documents.jsonl"))
    }
    assert len(texts) == len(FILES)
    for chunk in chunks:
        assert texts[chunk["document_id"]][chunk["start"] : chunk["end"]] == chunk["text"]
    findings = lines(download(system, extraction, "extractions.jsonl"))
    assert findings
    for finding in findings:
        assert texts[finding["document_id"]][finding["start"] : finding["end"]] == finding["text"]
    records = lines(download(system, dataset, "train.jsonl"))
    assert len(records) > 3
    quality = json.loads(download(system, dataset, "quality.json"))
    assert (quality["schema_validity"], quality["groundedness"]) == (1.0, 1.0)
    for job_id in jobs.values():
        for name, file in listed(system, job_id).items():
            content = download(system, job_id, name)
            assert (len(content), hashlib.sha256(content).hexdigest()) == (file["bytes"], file["sha256"])
    assert [link["job_id"] for link in system.status(dataset)["chain"]] == list(jobs.values())[:-1]
    again = run_pipeline(system, file_ids)
    for first, second in zip(jobs.values(), again.values(), strict=True):
        assert hashes(listed(system, first)) == hashes(listed(system, second))


def hashes(files: dict[str, dict[str, Any]]) -> dict[str, str]:
    """All but what tells times and ids."""
    told = {"manifest.json", "README.md", "documents.jsonl"}
    return {name: file["sha256"] for name, file in files.items() if name not in told}


SAME: Final = [{"chunk_id": f"a:{n}", "document_id": "a", "text": f"same word number {n}"} for n in range(30)]
UNKNOWN: Final = {"name": "T", "children": [{"name": "Fish"}, {"name": "Stone"}]}
EVIL: Final = {"rules": [{"type": "pattern", "value": "(a+)+$"}]}
REFUSED: Final = [
    ("taxonomy_processing", {"source": {"chunks": small(3)}}, "no_chunks: The source has 3 different chunks"),
    ("taxonomy_processing", {"source": {"chunks": SAME}}, "not_enough_variety: Only "),
    (
        "taxonomy_processing",
        {"source": {"path": "bad.jsonl"}},
        "schema_mismatch: source: Line 2: the field 'chunk_id' is",
    ),
    (
        "extraction",
        {"source": {"path": "bad.jsonl"}, "taxonomy": {"taxonomy": TAXONOMY}},
        "schema_mismatch: source: Line 2:",
    ),
    ("extraction", {"source": {"path": "good.jsonl"}, "taxonomy": {"path": "good.jsonl"}}, "schema_mismatch: The tax"),
    ("extraction", {"source": {"path": "good.jsonl"}, "taxonomy": {"taxonomy": UNKNOWN}}, "empty_profile: No category"),
    ("dataset_generation", {"source": {"chunks": small(1)}, "generation_mode": "completion"}, "split_too_small: Too l"),
    (
        "dataset_generation",
        {
            "source": {"path": "good.jsonl"},
            "generation_mode": "completion",
            "quality_threshold": 1.0,
            "fail_below_quality": True,
        },
        "quality_threshold_not_met: The quality is",
    ),
    ("document_processing", {"documents": [{"path": "empty.txt"}]}, "no_documents_parsed: No document could be"),
    (
        "document_processing",
        {
            "documents": [{"name": "a.txt", "text": "a" * 5000 + "!"}],
            "chunk_strategy": "schema",
            "schema_definition": EVIL,
        },
        "no_documents_parsed: No document could be processed. a.txt: pattern_timeout",
    ),
]


def test_what_cannot_be_done_is_told_in_a_sentence_and_leaves_nothing(system: System) -> None:
    for number, (job_type, parameters, words) in enumerate(REFUSED):
        job_id = submit(system, job_type, parameters, user=f"u{number}")
        status = wait_for(lambda job_id=job_id: has_ended(system, job_id), f"the end of case {number}", 60)
        assert status["status"] == "failed"
        assert status["error"].startswith(words), status["error"]
        if job_type != "document_processing":
            # It tells of each of its documents, also when none could be read.
            assert left_by(system, job_id) == set()


def submit(system: System, job_type: str, parameters: dict[str, Any], user: str = "ann") -> str:
    body = {"job_type": job_type, "user_id": user, "parameters": parameters}
    code, answer = system.http("POST", "/submit", body)
    assert code == 202, answer
    job_id: str = answer["job_id"]
    return job_id


def left_by(system: System, job_id: str) -> set[str]:
    """Names that others could take for results; the folder of a killed execution is the cleanup's."""
    folder = system.folder / "data" / "jobs" / job_id
    return {file.name for file in folder.glob("*") if not file.name.endswith(".partial")}


MANY: Final = {"path": "many.jsonl"}
BY_TAXONOMY: Final = {"source": MANY, "taxonomy": {"taxonomy": TAXONOMY}}
STAGES: Final = [
    ("document_processing", {"documents": [{"path": "long.txt"}], "chunk_strategy": "semantic"}, ("Chunking",)),
    (
        "taxonomy_processing",
        {"source": {"path": "most.jsonl"}},
        ("Reading chunks", "Finding what words", "Comparing chunks", "Finding categories"),
    ),
    ("extraction", BY_TAXONOMY, ("Counting words", "Extracting")),
    ("dataset_generation", {"source": MANY, "generation_mode": "completion"}, ("Making and",)),
    (
        "dataset_generation",
        # All of them, so that it takes long enough to be seen.
        {"source": MANY, "generation_mode": "completion", "formats": ["jsonl", "csv", "parquet", "json"]},
        ("Writing records",),
    ),
]


@pytest.mark.parametrize(
    ("job_type", "parameters", "step"), [(job, given, step) for job, given, steps in STAGES for step in steps]
)
def test_cancel_ends_every_stage(
    system: System, job_type: str, parameters: dict[str, Any], step: str, record_property: Any
) -> None:
    worker = psutil.Process(system.processes[-1].pid)
    job_id = submit(system, job_type, parameters)
    wait_for(lambda: at_step(system, job_id, step), f"{job_type} says {step}", 60)
    asked_at = time.monotonic()
    code, answer = system.http("POST", f"/cancel/{job_id}")
    assert code == 200, answer
    wait_for(lambda: not worker.children(), "no process of the job lives", 10)
    record_property("seconds", time.monotonic() - asked_at)
    assert system.status(job_id)["status"] == "cancelled"
    assert left_by(system, job_id) <= {"text"}


def at_step(system: System, job_id: str, step: str) -> bool:
    status = system.status(job_id)
    assert status["status"] in ("pending", "running"), (status["status"], status["error"])
    return step in (status["current_step"] or "")

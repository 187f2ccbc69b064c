"""document_processing: what a killed execution has parsed is not parsed again, and what it left half-done is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from samples import document_support as support

from worker.jobs.document_processing import document_process
from worker.jobs.document_processing.parameters import Parameters
from worker.jobs.document_processing.run import run

NAMES = ("a.txt", "b.md", "c.txt")
CODE = (
    "import json, sys; from pathlib import Path\n"
    "from samples.document_support import FakeContext\n"
    "from worker.jobs.document_processing import document_process, run, parameters\n"
    "document_process.CHILD_MODULE = 'samples.document_child_that_counts'\n"
    "folder = Path(sys.argv[1])\n"
    "given = parameters.Parameters.model_validate(json.loads(sys.argv[2]))\n"
    "run.run(FakeContext(folder / 'job', folder), given)\n"
)


@pytest.fixture(autouse=True)
def counting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document_process, "CHILD_MODULE", "samples.document_child_that_counts")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in NAMES:
        (tmp_path / name).write_text(f"# {name}\n\n" + f"The words of {name} are many. " * 50)
    return tmp_path


def given(**values: Any) -> dict[str, Any]:
    return {"documents": [{"path": name} for name in NAMES], **values}


def killed_at(folder: Path, name: str, **values: Any) -> list[str]:
    """The first execution, killed while it parses that document; what it has parsed, this one included."""
    (folder / "kill").write_text(name)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", CODE, str(folder), json.dumps(given(**values))]
    assert subprocess.run(command, env=environment, check=False).returncode == -signal.SIGKILL
    (folder / "kill").unlink()
    return parsed(folder)


def parsed(folder: Path) -> list[str]:
    """Since the last time."""
    names = (folder / "parsed.log").read_text().split() if (folder / "parsed.log").exists() else []
    (folder / "parsed.log").unlink(missing_ok=True)
    return names


def go_on(folder: Path, fence: int = 2, job: str = "job", **values: Any) -> dict[str, Any]:
    return run(support.FakeContext(folder / job, folder, fence=fence), Parameters.model_validate(given(**values)))


def test_only_the_third_document_is_parsed(folder: Path) -> None:
    assert killed_at(folder, "c.txt") == list(NAMES)
    assert (folder / "job" / "work.1.partial").exists()
    assert go_on(folder)["processed_documents"] == 3
    assert parsed(folder) == ["c.txt"]
    # As if nothing had happened.
    go_on(folder, job="other")
    for name in ("chunks.jsonl", "documents.jsonl"):
        assert (folder / "job" / name).read_bytes() == (folder / "other" / name).read_bytes()
    names = sorted(file.name for file in (folder / "job").iterdir())
    assert names == ["chunks.jsonl", "documents.jsonl", "manifest.json", "text"]


def test_other_chunking_parses_nothing_again(folder: Path) -> None:
    killed_at(folder, "c.txt")
    go_on(folder, chunk_strategy="character")
    assert parsed(folder) == ["c.txt"]


@pytest.mark.parametrize(("name", "values"), [("content", {}), ("way", {"strip_boilerplate": False})])
def test_other_content_or_way_is_parsed_again(folder: Path, name: str, values: dict[str, Any]) -> None:
    killed_at(folder, "c.txt")
    if name == "content":
        (folder / "a.txt").write_text("other words")
    go_on(folder, **values)
    assert parsed(folder) == (["a.txt", "c.txt"] if name == "content" else list(NAMES))


@pytest.mark.parametrize("damage", ["half a text", "no text", "half of what is known", "not renamed"])
def test_half_written_parse_is_not_used(folder: Path, damage: str) -> None:
    killed_at(folder, "c.txt")
    work = folder / "job" / "work.1.partial" / "parsed"
    for file in sorted(work.iterdir()):
        if damage == "no text" and file.suffix == ".text":
            file.unlink()
        elif damage == "not renamed":
            file.rename(file.with_name(file.name + ".partial"))
        elif (damage == "half a text") == (file.suffix == ".text"):
            file.write_bytes(file.read_bytes()[:20])
    assert go_on(folder)["processed_documents"] == 3
    assert parsed(folder) == list(NAMES)


def test_parses_survive_several_kills(folder: Path) -> None:
    killed_at(folder, "b.md")
    (folder / "kill").write_text("c.txt")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    code = CODE.replace("folder / 'job', folder)", "folder / 'job', folder, fence=2)")
    subprocess.run([sys.executable, "-c", code, str(folder), json.dumps(given())], env=environment, check=False)
    (folder / "kill").unlink()
    assert parsed(folder) == ["b.md", "c.txt"]
    go_on(folder, fence=3)
    assert parsed(folder) == ["c.txt"]


def test_finished_job_that_runs_anew_parses_anew(folder: Path) -> None:
    """Its workspace is gone, and nothing else is taken for a finished parse."""
    go_on(folder, fence=1)
    go_on(folder, fence=2)
    assert parsed(folder) == [*NAMES, *NAMES]

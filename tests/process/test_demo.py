"""What the demo shows of a chain, as a process with a server and a worker of its own, over four small job types."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from chain_jobs import ENTRIES
from support import ROOT

pytestmark = [pytest.mark.process, pytest.mark.timeout(150)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.toml").write_text(ENTRIES)
    (tmp_path / "one.txt").write_text("red fish blue fish")
    (tmp_path / "none.txt").write_text("")
    return tmp_path


def run_demo(folder: Path, *files: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("JOBQUEUE_")}
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "process")])
    command = [sys.executable, "-m", "server.demo", *files]
    return subprocess.run(
        command, cwd=folder, env={**kept, "PYTHONPATH": paths}, capture_output=True, text=True, timeout=120
    )


def test_the_demo_shows_the_whole_chain(folder: Path) -> None:
    done = run_demo(folder, "one.txt")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    words = [line.split() for line in lines]
    assert ["one.txt", "text", "-", "4", "0.10"] in words
    assert ["fish", "1", "fish"] in words, "the categories"
    assert ["fish", "2"] in words, "the extractions"
    assert ["train", "4"] in words, "the splits"
    for stage in ("document_processing", "taxonomy_processing", "extraction", "dataset_generation"):
        seen = [line for line in lines if line.startswith(f"  {stage} ")]
        assert "pending" in seen[0] and "100% completed" in seen[-1], seen
        (place,) = [Path(line.split(": ")[1]) for line in lines if line.startswith(f"  {stage}: ")]
        assert (folder / place / "manifest.json").exists()
    after = lines[lines.index("The first records of the dataset:") :]
    assert after[2:5] == ["  instruction: Say", "  output: red", ""]
    assert after[-1] == "Everything has been stopped."


def test_the_demo_tells_what_went_wrong(folder: Path) -> None:
    done = run_demo(folder, "one.txt", "none.txt")
    assert done.returncode == 1
    assert "  none.txt: There is nothing in it." in done.stdout.splitlines()
    assert "100% completed" in done.stdout and "Traceback" not in done.stdout + done.stderr
    done = run_demo(folder, "none.txt")
    assert done.returncode == 1
    assert "  document_processing failed: no_documents_parsed: None of the documents" in done.stdout
    assert "  dataset_generation cancelled:" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_the_demo_tells_what_the_service_refuses(folder: Path) -> None:
    (folder / "config.toml").write_text(f"{ENTRIES}\n[storage]\nupload_max_bytes = 5\n")
    done = run_demo(folder, "one.txt")
    assert done.returncode == 1
    assert "The service refused it: filename.one.txt: too large" in done.stdout
    missing = run_demo(folder, "nowhere.pdf")
    assert (missing.returncode, missing.stderr) == (1, "nowhere.pdf: no such file\n")

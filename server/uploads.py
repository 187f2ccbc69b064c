"""Files that users have uploaded: `uploads/<user>/<file id>/<name>` below the input folder.

`<user>` is the first half of the SHA-256 of the user's id. Names that begin with a dot are not there for anybody else:
`.<file id>` is on its way in or out, `.uses/<file id>/<job id>` tells which jobs have named a file. A folder's time of
change is that of the file's last use.

All methods block; call them in a thread.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from jobqueue.config import StorageSettings
from server.errors import StorageUnavailableError

# So that a quota of bytes also bounds how many there are.
LEAST_COUNTED_BYTES: Final = 64 * 1024
FILE_ID: Final = re.compile(r"[0-9a-f]{32}")
USES: Final = ".uses"


class Use(NamedTuple):
    """`until`: unix seconds; the job starts then at the earliest."""

    user_id: str
    file_id: str
    job_id: str
    until: float


@dataclass(frozen=True, slots=True)
class StoredFile:
    """`expires`: unix seconds, unless a job needs it then. `sha256`: known when it has just arrived."""

    file_id: str
    name: str
    bytes: int
    expires: float
    sha256: str | None = None


@contextmanager
def storing() -> Iterator[None]:
    """Makes a StorageUnavailableError of an OSError, without the names of this machine's folders."""
    try:
        yield
    except OSError as error:
        raise StorageUnavailableError(f"Files cannot be stored now: {error.strerror}") from error


class Uploads:
    def __init__(self, storage: StorageSettings) -> None:
        self.root = storage.uploads_dir
        self.retention = storage.upload_retention_seconds

    def folder_of(self, user_id: str) -> Path:
        return self.root / hashlib.sha256(user_id.encode()).hexdigest()[:32]

    def used_bytes(self, user_id: str) -> int:
        """With what is on its way in just now, through whichever server."""
        return sum(map(_counted_bytes, _entries(self.folder_of(user_id))))

    def all_of(self, user_id: str) -> list[StoredFile]:
        """Newest first."""
        folders = [entry for entry in _entries(self.folder_of(user_id)) if FILE_ID.fullmatch(entry.name)]
        found = [self._stored(Path(folder)) for folder in folders]
        return sorted((file for file in found if file is not None), key=lambda file: -file.expires)

    def remove(self, user_id: str, file_id: str) -> bool:
        """False: there is none, or it is somebody else's."""
        folder = self._folder(user_id, file_id)
        if folder is None:
            return False
        with storing():
            return discard(folder)

    def keep(self, uses: Sequence[Use]) -> set[tuple[str, str]]:
        """Notes that jobs are about to be submitted that read these files, whose last use is then.

        The answer is what is not there, as (user, file id). Raises StorageUnavailableError.
        """
        with storing():
            return {(use.user_id, use.file_id) for use in uses if not self._keep(use)}

    def _keep(self, use: Use) -> bool:
        folder = self._folder(use.user_id, use.file_id)
        if folder is None:
            return False
        try:
            touch(folder, use.until)
        except FileNotFoundError:
            return False
        marks = uses_of(folder)
        marks.mkdir(parents=True, exist_ok=True)
        (marks / use.job_id).touch()
        return True

    def _folder(self, user_id: str, file_id: str) -> Path | None:
        return self.folder_of(user_id) / file_id if FILE_ID.fullmatch(file_id) else None

    def _stored(self, folder: Path) -> StoredFile | None:
        # It may go at any moment.
        with suppress(FileNotFoundError):
            for entry in _entries(folder):
                expires = folder.stat().st_mtime + self.retention
                return StoredFile(folder.name, entry.name, entry.stat(follow_symlinks=False).st_size, expires)
        return None


def touch(folder: Path, until: float) -> None:
    """Its last use is now, or at `until` if that is later. Raises FileNotFoundError."""
    last = max(folder.stat().st_mtime, time.time(), until)
    os.utime(folder, (last, last))


def uses_of(folder: Path) -> Path:
    """The folder that holds an empty file for each job that has named the file."""
    return folder.parent / USES / folder.name


def hidden(folder: Path) -> Path:
    """Its name on the way in and out."""
    return folder.with_name(f".{folder.name}")


def discard(folder: Path) -> bool:
    """Gone for everybody at once, then from the disk. False: it was not there."""
    try:
        folder.rename(hidden(folder))
    except FileNotFoundError:
        return False
    shutil.rmtree(hidden(folder), ignore_errors=True)
    shutil.rmtree(uses_of(folder), ignore_errors=True)
    return True


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if entry.name != USES]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _counted_bytes(folder: os.DirEntry[str]) -> int:
    with suppress(FileNotFoundError):
        sizes = [entry.stat(follow_symlinks=False).st_size for entry in _entries(Path(folder))]
        return max(LEAST_COUNTED_BYTES, sum(sizes))
    return 0

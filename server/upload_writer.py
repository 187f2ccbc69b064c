"""Files on their way to disk: nobody sees any of a request's files before all of them are complete.

All methods block but `Batch`'s own; those run the blocking ones in a thread.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import unicodedata
from pathlib import Path
from typing import BinaryIO, Final

from jobqueue.config import StorageSettings
from server.errors import ApiError, InvalidParameterError, PayloadTooLargeError, UploadQuotaError
from server.tasks import to_its_end
from server.uploads import LEAST_COUNTED_BYTES, StoredFile, Uploads, hidden, storing

PART: Final = ".part"
# Below the 255 that file systems take, in bytes.
MOST_NAME_BYTES: Final = 200
_SUFFIX: Final = re.compile(r"\.\w{1,16}\Z")


def clean_name(raw: str) -> str | None:
    """The name alone, without what no name needs; None when nothing is left of it."""
    name = unicodedata.normalize("NFC", raw.replace("\\", "/").rpartition("/")[2])
    name = "".join(character for character in name if character.isprintable()).strip().lstrip(". ")
    if len(name.encode()) > MOST_NAME_BYTES:
        found = _SUFFIX.search(name)
        suffix = found[0] if found else ""
        stem = name.encode()[: MOST_NAME_BYTES - len(suffix.encode())].decode(errors="ignore")
        name = stem + suffix
    return name or None


class IncomingFile:
    """`folder`: the one that it will have."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.bytes = 0
        self._folder = folder
        self._hash = hashlib.sha256()
        self._file: BinaryIO | None = None

    def open(self) -> None:
        hidden(self._folder).mkdir(parents=True)
        self._file = (hidden(self._folder) / PART).open("xb", buffering=0)

    def write(self, block: bytes) -> None:
        assert self._file is not None
        rest = memoryview(block)
        while rest:
            rest = rest[self._file.write(rest) :]
        self._hash.update(block)
        self.bytes += len(block)

    def finish(self) -> None:
        """On disk, under its own name, still hidden."""
        assert self._file is not None
        os.fsync(self._file.fileno())
        self._file.close()
        (hidden(self._folder) / PART).rename(hidden(self._folder) / self.name)

    def publish(self, retention: float) -> StoredFile:
        hidden(self._folder).rename(self._folder)
        expires = self._folder.stat().st_mtime + retention
        return StoredFile(self._folder.name, self.name, self.bytes, expires, self._hash.hexdigest())

    def discard(self) -> None:
        if self._file is not None:
            self._file.close()
        for folder in (hidden(self._folder), self._folder):
            shutil.rmtree(folder, ignore_errors=True)


class Batch:
    """The files of one request. `begin` one after the other; then either `publish` or `discard`."""

    def __init__(self, uploads: Uploads, storage: StorageSettings, user_id: str) -> None:
        self._uploads = uploads
        self._storage = storage
        self._user_id = user_id
        self._files: list[IncomingFile] = []
        self._room = 0

    @property
    def received(self) -> int:
        return sum(file.bytes for file in self._files)

    async def begin(self, field: str, raw_name: str) -> None:
        """Raises InvalidParameterError, UploadQuotaError, StorageUnavailableError."""
        if len(self._files) == self._storage.upload_max_files:
            text = f"there are more than {self._storage.upload_max_files} files in the request (upload_max_files)"
            raise InvalidParameterError([((field,), text)])
        name = clean_name(raw_name)
        if name is None:
            raise InvalidParameterError([((field, "filename"), "is no name of a file")])
        file = IncomingFile(self._uploads.folder_of(self._user_id) / secrets.token_hex(16), name)
        self._files.append(file)
        with storing():
            await to_its_end(file.open)
            # Looked at when it counts itself already, so that of several requests none sees too little.
            used = await to_its_end(self._uploads.used_bytes, self._user_id)
        self._room = self._storage.upload_user_bytes - used + LEAST_COUNTED_BYTES
        self._refuse_too_much(file)

    async def write(self, block: bytes) -> None:
        """Raises PayloadTooLargeError, UploadQuotaError, StorageUnavailableError."""
        file = self._files[-1]
        if file.bytes + len(block) > self._storage.upload_max_bytes:
            text = f"File {file.name} is larger than {self._storage.upload_max_bytes} bytes (upload_max_bytes)"
            raise PayloadTooLargeError(
                text, context={"details": [{"loc": ["filename", file.name], "msg": "too large"}]}
            )
        with storing():
            await to_its_end(file.write, block)
        self._refuse_too_much(file)

    async def finish(self) -> None:
        with storing():
            await to_its_end(self._files[-1].finish)

    async def publish(self) -> list[StoredFile]:
        """Raises UploadQuotaError: others of the user may have come in meanwhile."""
        try:
            with storing():
                return await to_its_end(self._publish)
        except ApiError:
            await self.discard()
            raise

    def _publish(self) -> list[StoredFile]:
        if self._uploads.used_bytes(self._user_id) > self._storage.upload_user_bytes:
            raise UploadQuotaError(self._storage.upload_user_bytes)
        return [file.publish(self._uploads.retention) for file in self._files]

    async def discard(self) -> None:
        await to_its_end(self._discard)

    def _discard(self) -> None:
        for file in self._files:
            file.discard()

    def _refuse_too_much(self, file: IncomingFile) -> None:
        if max(file.bytes, LEAST_COUNTED_BYTES) > self._room:
            raise UploadQuotaError(self._storage.upload_user_bytes)

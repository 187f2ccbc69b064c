"""Files that users sent over HTTP: `uploads/<user folder>/<file_id>/<name>` below the input folder.

Light: the server uses it at submit. A user's files are named by their ids only, so that nobody names another's.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from pathlib import Path
from typing import Final

from worker.jobs.shared.errors import InputError

UPLOADS: Final = "uploads"
FILE_ID: Final = r"^[0-9a-f]{32}$"
_FILE_ID: Final = re.compile("[0-9a-f]{32}")


def user_folder(user_id: str) -> str:
    """The name of the folder of one user's files: no user id can lead out of it or into another's."""
    return hashlib.sha256(user_id.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def find_upload(input_root: Path, user_id: str, file_id: str) -> str:
    """Where the file lies, relative to `input_root`. Raises InputError `file_not_found`, whoever's it may be."""
    if not _FILE_ID.fullmatch(file_id):
        raise _not_found()
    folder = f"{UPLOADS}/{user_folder(user_id)}/{file_id}"
    try:
        names = [file.name for file in (input_root / folder).iterdir() if not file.name.startswith(".")]
    except OSError:
        raise _not_found() from None
    if len(names) != 1:
        raise _not_found()
    return f"{folder}/{names[0]}"


def lies_in_uploads(path: str) -> bool:
    """Whether a path of a request leads to the files that users have sent."""
    return posixpath.normpath(path).split("/")[0] == UPLOADS


def _not_found() -> InputError:
    return InputError("file_not_found", "You have sent no file with this file_id, or it has been removed.")

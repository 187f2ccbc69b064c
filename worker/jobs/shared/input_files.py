"""User files: found and opened below the input folder, and nowhere else. Light: the server uses it at submit."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path, PurePosixPath

from worker.jobs.shared.errors import InputError

TOO_LARGE = "source_too_large"
_NOT_FOUND = {errno.ENOENT, errno.ENOTDIR}
# ELOOP: somebody put a link in the place of a file after its path was resolved.
_INVALID = {errno.ENAMETOOLONG, errno.ENXIO, errno.EINVAL, errno.ELOOP}


def locate(path: str, root: Path) -> Path:
    """The real place of `path`, which need not exist.

    Raises InputError `outside_input_root`, whether or not anything is there, or `invalid_path`.
    """
    try:
        base = root.resolve()
        target = (base / path).resolve()
    except (OSError, ValueError, RuntimeError):
        raise _invalid("The path cannot be followed; check it for links that lead in a circle.") from None
    if _climbs_out(path) or not target.is_relative_to(base):
        raise InputError("outside_input_root", "The path leads out of the input folder, where documents must lie.")
    return target


def read_file(path: str, root: Path, max_bytes: int) -> bytes:
    """The bytes of a regular file below `root`.

    Raises InputError: what `locate` raises, `file_not_found`, `unreadable_file`, `document_too_large` or
    `file_changed`.
    """
    file = open_file(path, root)
    try:
        return _read_bounded(file, max_bytes)
    except OSError as error:
        raise _explain(error) from None
    finally:
        os.close(file)


def open_file(path: str, root: Path) -> int:
    """A descriptor for reading below `root`; what it is tells `check_file`. Raises InputError as `read_file`."""
    target = locate(path, root)
    try:
        return _open_below(root.resolve(), target)
    except OSError as error:
        raise _explain(error) from None


def check_file(file: int, max_bytes: int) -> os.stat_result:
    """Raises InputError when it is no regular file or too large."""
    status = os.fstat(file)
    _refuse_special(status)
    if status.st_size > max_bytes:
        raise too_large(max_bytes)
    return status


def find_problem(path: str, root: Path) -> str | None:
    """Why `path` cannot be a document, or None. Outside the root and missing get the same answer."""
    status = _status_of(path, root)
    if status is None:
        return "not found in the input folder"
    return None if stat.S_ISREG(status.st_mode) else "not a regular file"


def find_source_problem(path: str, root: Path, most_bytes: int) -> str | None:
    """The same for what a source names, with a code before it."""
    status, problem = _status_of(path, root), find_problem(path, root)
    if status is None or problem is not None:
        return f"{'source_not_found' if status is None else 'invalid_path'}: {problem}"
    return None if status.st_size <= most_bytes else f"{TOO_LARGE}: larger than {most_bytes:,} bytes"


def _status_of(path: str, root: Path) -> os.stat_result | None:
    try:
        return locate(path, root).stat()
    except (OSError, InputError):
        return None


def _climbs_out(path: str) -> bool:
    """True when the path steps above its start anywhere, even if it comes back: that would tell what lies there."""
    depth = 0
    for part in PurePosixPath(path).parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            return True
    return False


def _open_below(base: Path, target: Path) -> int:
    """Open step by step without following links, so that a folder swapped for a link meanwhile leads nowhere."""
    parts = target.relative_to(base).parts
    if not parts:
        raise _invalid("The path names the input folder itself.")
    folder = os.open(base, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in parts[:-1]:
            inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = inner
        _refuse_special(os.stat(parts[-1], dir_fd=folder, follow_symlinks=False))
        # What is put there after the look above does no harm either: opening a pipe would wait without O_NONBLOCK.
        return os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    finally:
        os.close(folder)


def _read_bounded(file: int, max_bytes: int) -> bytes:
    status = check_file(file, max_bytes)
    with os.fdopen(file, "rb", closefd=False) as reader:
        data = reader.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise too_large(max_bytes)
    if len(data) != status.st_size or os.fstat(file).st_mtime_ns != status.st_mtime_ns:
        message = "The file was changed while it was read; send it again when it is complete."
        raise InputError("file_changed", message, retryable=True)
    return data


def _refuse_special(status: os.stat_result) -> None:
    """Opening a device may do something, and a link here was put in after its path was resolved."""
    if not stat.S_ISREG(status.st_mode):
        raise _invalid("The path names a folder or a special file, not a document.")


def too_large(max_bytes: int) -> InputError:
    message = f"The document is larger than max_document_bytes ({max_bytes:,} bytes)."
    return InputError("document_too_large", message)


def _invalid(message: str) -> InputError:
    return InputError("invalid_path", message)


def _explain(error: OSError) -> InputError:
    if error.errno in _NOT_FOUND:
        return InputError("file_not_found", "There is no such file in the input folder.")
    if error.errno in _INVALID:
        return _invalid(f"The path cannot name a document: {error.strerror}.")
    message = f"The file cannot be read: {error.strerror}."
    return InputError("unreadable_file", message, retryable=error.errno != errno.EACCES)

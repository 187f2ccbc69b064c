"""`flock` on a file: the kernel drops it when the last process that has the open file is gone."""

from __future__ import annotations

import fcntl
import os
import weakref
from pathlib import Path

_open_locks: weakref.WeakSet[FileLock] = weakref.WeakSet()


class FileLock:
    """One open lock file, locked or not. Opening and trying raise OSError where the file system has no locks.

    The descriptor is closed by exec and after a plain fork; who is to share the lock gets it through `pass_fds`.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        _open_locks.add(self)

    @classmethod
    def open(cls, path: Path) -> FileLock:
        return cls(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))

    @classmethod
    def inherited(cls, descriptor: int) -> FileLock:
        os.set_inheritable(descriptor, False)
        return cls(descriptor)

    def fileno(self) -> int:
        return self._descriptor

    def try_shared(self) -> bool:
        return self._try(fcntl.LOCK_SH)

    def try_exclusive(self) -> bool:
        return self._try(fcntl.LOCK_EX)

    def _try(self, kind: int) -> bool:
        try:
            fcntl.flock(self._descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """Repeatable. Another process that inherited the descriptor keeps the lock: LOCK_UN would take it from it."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def _close_in_forked_child() -> None:
    # A child of fork without exec would hold the lock for as long as it lives, long after its parent.
    for lock in list(_open_locks):
        lock.close()


os.register_at_fork(after_in_child=_close_in_forked_child)

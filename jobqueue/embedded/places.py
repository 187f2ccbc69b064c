"""Where the embedded server keeps its files, and that these places are ours alone."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from jobqueue.errors import ConfigurationError

# The kernel's limit is 108 bytes with the closing zero on Linux, 104 on macOS.
LONGEST_SOCKET_PATH: Final = 103


@dataclass(frozen=True)
class Places:
    """`data`: the real path of Valkey's folder. `socket`: a path short enough for a Unix socket."""

    data: Path
    socket: Path

    @classmethod
    def of(cls, data_dir: Path) -> Places:
        """Touches nothing. The answer depends on the folder and the user alone, so all participants agree on it.

        `$XDG_RUNTIME_DIR` and `$TMPDIR` differ between a service and a terminal of one user; they are not used.
        """
        data = data_dir.resolve()
        socket = data / "valkey.sock"
        if len(os.fsencode(socket)) > LONGEST_SOCKET_PATH:
            name = hashlib.sha256(os.fsencode(data)).hexdigest()[:16]
            socket = Path(f"/tmp/jobqueue-{os.geteuid()}") / name / "valkey.sock"
        return cls(data, socket)

    @property
    def participants_lock(self) -> Path:
        return self.data / "participants.lock"

    @property
    def watchdog_lock(self) -> Path:
        return self.data / "watchdog.lock"

    @property
    def server_lock(self) -> Path:
        return self.data / "server.lock"

    @property
    def server_log(self) -> Path:
        return self.data / "valkey.log"

    @property
    def watchdog_log(self) -> Path:
        return self.data / "watchdog.log"

    @property
    def pid_file(self) -> Path:
        return self.data / "valkey.pid"

    def prepare(self) -> None:
        """Make the folders, mode 0700. Raises ConfigurationError for one that cannot be made or is not ours alone."""
        try:
            self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.data.stat().st_uid == os.geteuid():
                self.data.chmod(0o700)
            _require_private(self.data)
            if self.socket.parent != self.data:
                _make_private(self.socket.parent.parent)
                _make_private(self.socket.parent)
        except OSError as error:
            raise ConfigurationError(f"storage.data_dir: {self.data} cannot be used: {error}") from None


def _make_private(folder: Path) -> None:
    # Anyone may write to /tmp: what is there already may be another user's trap, so it is checked, never repaired.
    folder.mkdir(mode=0o700, exist_ok=True)
    _require_private(folder)


def _require_private(folder: Path) -> None:
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise ConfigurationError(f"{folder} is not a folder")
    if found.st_uid != os.geteuid():
        raise ConfigurationError(f"{folder} belongs to another user")
    if found.st_mode & 0o077:
        raise ConfigurationError(f"{folder} is open to other users: its mode must be 0700")

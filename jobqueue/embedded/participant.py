"""A process that needs the embedded Valkey."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

from jobqueue.embedded.command import server_command
from jobqueue.embedded.guard import Guard
from jobqueue.embedded.locks import FileLock
from jobqueue.embedded.places import Places
from jobqueue.embedded.probe import find_server, ping
from jobqueue.embedded.server_log import explain_failure
from jobqueue.embedded.supervision import read_status, supervise
from jobqueue.errors import ConfigurationError, QueueUnavailable

POLL_SECONDS: Final = 0.03
# A server that meets damage in its files at once still says LOADING first.
LOADING_SECONDS: Final = 1.0
ENSURE_SECONDS: Final = 120.0
MOST_SPAWNS: Final = 5


class EmbeddedValkey:
    """One participant. All methods may be called from any thread; those that block are for `asyncio.to_thread`.

    `data_dir`: Valkey's own folder; every process that names the same folder shares one server. `maxmemory_mb`: writes
    are refused beyond it. `extra`: further Valkey options by name. Options take effect when a watchdog starts, that is
    they are those of the first participant. Raises ConfigurationError where there is no binary for this machine.
    """

    def __init__(
        self, data_dir: Path, *, maxmemory_mb: int = 2048, extra: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self._places = Places.of(data_dir)
        self._command = server_command(self._places, maxmemory_mb, extra)
        self._joining = threading.Lock()
        self._leaving = threading.Event()
        self._presence: FileLock | None = None
        self._guard: Guard | None = None

    @property
    def url(self) -> str:
        """`unix:///path/valkey.sock?db=0`, the same before and after `ensure`."""
        return f"unix://{quote(str(self._places.socket))}?db=0"

    def pid(self) -> int | None:
        """Process id of this folder's living Valkey, whoever started it."""
        server = find_server(self._places)
        return None if server is None else server.pid

    def ensure(self, timeout: float = ENSURE_SECONDS) -> None:
        """Take part, then adopt or start Valkey. Blocks until it answers, at most `timeout` seconds. Repeatable.

        Any reply counts as an answer, also BUSY, and LOADING when it lasts for a second: a server that still reads its
        files is there, and callers meet it as QueueStarting. The part taken is kept until `release`, also when this
        raises.

        Raises ConfigurationError for a folder that cannot be made or is not this user's alone; QueueUnavailable, with
        the end of Valkey's log, when Valkey refuses to start or does not answer in time, or after `release`.
        """
        deadline = time.monotonic() + timeout
        guard = self._join(deadline)
        before = read_status(self._places)
        answers = _Answers(self._places.socket)
        # A watchdog comes first: a Valkey that answers may be an orphan that nobody would stop after us.
        spawns = int(supervise(self._places, self._command))
        while not answers.enough():
            if read_status(self._places).failed_since(before) or spawns > MOST_SPAWNS or not self._pause(deadline):
                raise QueueUnavailable(explain_failure(self._places, self._command[0]))
            spawns += supervise(self._places, self._command)
        guard.report()

    def release(self) -> None:
        """Leave; the watchdog stops Valkey if this was the last participant. Repeatable, and final for this object."""
        self._leaving.set()
        with self._joining:
            guard, self._guard = self._guard, None
            presence, self._presence = self._presence, None
        if guard is not None:
            guard.join()
        if presence is not None:
            presence.close()

    def _join(self, deadline: float) -> Guard:
        with self._joining:
            if self._leaving.is_set():
                raise QueueUnavailable("the embedded Valkey was released")
            if self._guard is None:
                self._places.prepare()
                self._presence = self._take_part(deadline)
                self._guard = Guard(self._places, self._command, self._leaving)
            return self._guard

    def _take_part(self, deadline: float) -> FileLock:
        try:
            lock = FileLock.open(self._places.participants_lock)
            self._wait_for_share(lock, deadline)
        except OSError as error:
            raise ConfigurationError(f"storage.data_dir: {self._places.data} cannot be used: {error}") from None
        return lock

    def _wait_for_share(self, lock: FileLock, deadline: float) -> None:
        # Refused while a watchdog stops the Valkey of earlier participants.
        try:
            while not lock.try_shared():
                if not self._pause(deadline):
                    raise QueueUnavailable(f"An earlier embedded Valkey in {self._places.data} is still stopping.")
        except (OSError, QueueUnavailable):
            lock.close()
            raise

    def _pause(self, deadline: float) -> bool:
        """Wait a moment; False when the time is up."""
        if self._leaving.wait(POLL_SECONDS):
            raise QueueUnavailable("the embedded Valkey was released")
        return time.monotonic() < deadline


class _Answers:
    """Whether Valkey's replies so far show that it is there to stay."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._loading_since: float | None = None

    def enough(self) -> bool:
        answer = ping(self._socket)
        if answer != "LOADING":
            return answer is not None
        if self._loading_since is None:
            self._loading_since = time.monotonic()
        return time.monotonic() - self._loading_since >= LOADING_SECONDS

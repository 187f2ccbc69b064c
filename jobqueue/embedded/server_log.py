"""Valkey's own log, read for what a person must hear of."""

from __future__ import annotations

import logging
import re
import shlex
from pathlib import Path
from typing import Final

from jobqueue.embedded.disk import shortage
from jobqueue.embedded.places import Places

log = logging.getLogger(__name__)

_ABOUT_DATA: Final = re.compile(r" # .*(AOF|append only)")
_DAMAGED: Final = re.compile(
    r"(?:reading the append only|Unable to obtain the AOF) file (?P<name>\S+?)(?:[:,\s]|$)|FATAL AOF MANIFEST"
)
_BANNER: Final = "Valkey is starting"
_TAIL_BYTES: Final = 16 * 1024


class LogReporter:
    """Passes on what Valkey warns of about its data files, from the moment this object is made."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = _size(path)

    def report(self) -> None:
        """Log the new warnings: above all that the torn end of a file was cut off, which Valkey does in silence."""
        size = _size(self._path)
        start = self._offset if size >= self._offset else 0
        self._offset = size
        for line in _read(self._path, start, size).splitlines():
            if _ABOUT_DATA.search(line):
                log.warning("embedded Valkey: %s", line.partition(" # ")[2].strip())


def explain_failure(places: Places, binary: str) -> str:
    """Why Valkey does not answer, with the end of its log, and what a person can do."""
    lines = tail(places.server_log)
    text = f"The embedded Valkey in {places.data} does not answer."
    if (words := shortage(places.data)) is not None:
        text += f"\n{words}"
    # The watchdog may already have begun the next start: its first lines say nothing about the end of the one before.
    for start in _last_starts(lines, 2):
        damage = _DAMAGED.search("\n".join(start))
        if damage is not None:
            text += "\n" + _repair_advice(places, binary, damage["name"] or "appendonly.aof.manifest")
            lines = start
            break
    return f"{text}\nLast lines of {places.server_log}:\n" + "\n".join(lines[-20:]).rstrip()


def _last_starts(lines: list[str], number: int) -> list[list[str]]:
    """The lines of each of the last starts, the newest first."""
    starts: list[list[str]] = []
    end = len(lines)
    for index in range(len(lines) - 1, -1, -1):
        if _BANNER in lines[index] and len(starts) < number:
            starts.append(lines[index:end])
            end = index
    return starts


def _repair_advice(places: Places, binary: str, name: str) -> str:
    file = places.data / "appendonlydir" / name
    refusal = (
        f"It refuses the damaged or missing file {file}. Nothing was changed, and nothing will be without you.\n"
        f"Copy {places.data} before you do anything."
    )
    if not name.endswith(".incr.aof"):
        return f"{refusal} Only a backup of the folder can replace this file."
    # Not the manifest, which Valkey's own message names: in 9.1 the tool takes the healthy base file for a damaged one.
    return (
        f"{refusal} Then the server's program, run under the name valkey-check-aof, can repair the file:\n"
        f"  ln -s {shlex.quote(binary)} valkey-check-aof\n"
        f"  ./valkey-check-aof --fix {shlex.quote(str(file))}\n"
        "It cuts the file off at the damage: what was written after that is lost."
    )


def tail(path: Path) -> list[str]:
    size = _size(path)
    return _read(path, max(0, size - _TAIL_BYTES), size).splitlines()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _read(path: Path, start: int, end: int) -> str:
    if start >= end:
        return ""
    try:
        with path.open("rb") as file:
            file.seek(start)
            return file.read(end - start).decode("utf-8", "replace")
    except OSError:
        return ""

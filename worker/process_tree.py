"""All processes below one, however deep and in whichever session. Linux; light enough for the guard of a child."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
# Some kernels are built without this list; psutil's answer is the same, by a look at every process of the machine.
_KERNEL_LISTS_CHILDREN: Final = Path(f"/proc/self/task/{os.getpid()}/children").exists()
_MOST_ROUNDS: Final = 100


def descendants(root: int) -> list[int]:
    """Parents before their children."""
    found = list(_children(root))
    for pid in found:
        found.extend(_children(pid))
    return found


def resident_bytes(root: int) -> int:
    """Of all processes below `root`, without it."""
    return sum(map(_resident_bytes, descendants(root)))


def signal_descendants(root: int, number: int) -> None:
    """Until nobody new appears: between a look and its signals a process may have made another one."""
    reached: set[int] = set()
    for _ in range(_MOST_ROUNDS):
        new = set(descendants(root)) - reached
        if not new:
            return
        for pid in new:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
        reached |= new


def kill_descendants(root: int) -> None:
    # Stopped ones cannot make new processes while the others are being killed.
    signal_descendants(root, signal.SIGSTOP)
    signal_descendants(root, signal.SIGKILL)


def _children(pid: int) -> Iterator[int]:
    if not _KERNEL_LISTS_CHILDREN:
        yield from _children_by_psutil(pid)
        return
    for thread in _entries(Path(f"/proc/{pid}/task")):
        yield from map(int, _text(thread / "children").split())


def _children_by_psutil(pid: int) -> list[int]:
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        return [child.pid for child in psutil.Process(pid).children()]
    return []


def _resident_bytes(pid: int) -> int:
    fields = _text(Path(f"/proc/{pid}/statm")).split()
    return int(fields[1]) * _PAGE_BYTES if fields else 0


def _entries(folder: Path) -> list[Path]:
    # The process may end between the look at its parent and this one; reading then fails in either of two ways.
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return list(folder.iterdir())
    return []


def _text(file: Path) -> str:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return file.read_text("ascii")
    return ""

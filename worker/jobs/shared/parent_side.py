"""What processes that a job starts for its work have in common, on the job's side; see `child_side`."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from worker.context import RetryableError

PROCESS_LOST: Final = "process_lost"
_BLOCK: Final = 65536
_PATIENCE_SECONDS: Final = 1.0
# What `ending` says of an exception that nobody caught; it stands in the log.
BY_ERROR: Final = "exit code 1"


def start(module: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Its first argument is this process's id. Raises RetryableError `process_lost` when there is no room for it."""
    # The child finds its modules where this process does, whatever the working directory is.
    paths = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
    try:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", module, str(os.getpid()), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            # More threads would only take turns, and each reserves memory.
            env={**os.environ, "PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )
    except OSError as error:
        message = f"The machine has no room for another process that shares the job's work: {error.strerror}."
        raise RetryableError(PROCESS_LOST, message) from error


def send(process: subprocess.Popen[bytes], message: Mapping[str, Any]) -> None:
    """Raises BrokenPipeError when it has ended."""
    assert process.stdin is not None
    process.stdin.write(json.dumps(message).encode() + b"\n")


def receive(process: subprocess.Popen[bytes], seconds: float) -> bytes | None:
    """What has come, b"" when the process has ended, None when nothing comes within the time."""
    assert process.stdout is not None
    poll = select.poll()
    poll.register(process.stdout, select.POLLIN)
    return os.read(process.stdout.fileno(), _BLOCK) if poll.poll(seconds * 1000) else None


def ending(process: subprocess.Popen[bytes]) -> str:
    """How it ended by itself: the name of a signal, or its exit code."""
    try:
        code = process.wait(_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        code = 0
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    # Closes the pipes, and waits.
    with process:
        pass

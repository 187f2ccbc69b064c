"""The parent's side of the document process: start it, hand it a document, wait, and kill it when it must go."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from worker.jobs.document_processing.errors import DocumentError, Stage
from worker.jobs.document_processing.task import Work
from worker.jobs.shared.errors import StorageError

CHILD_MODULE = "worker.jobs.document_processing.child"
_POLL_SECONDS = 0.1
# A longer gap between two looks means that this process itself was stopped; the document is not to blame.
_LONGEST_GAP = 1.0
_BLOCK = 65536

Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Order:
    """`task`: the file of the work order; `topics`: whether the libraries for learning are needed."""

    work: Work
    task: Path
    topics: bool = False
    password: str | None = field(default=None, repr=False)


class DocumentProcess:
    """One process for one document after the other, started when needed and again after it was lost.

    Leaving the `with` block kills it, whatever the reason for leaving is.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._work: Work = "parse"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._kill()

    def run(self, order: Order, timeout: float, check: Callable[[], None]) -> Iterator[Message]:
        """Hand over the order and yield the answers; the last one has the key "record".

        `check` is called at least every tenth of a second and may raise. `timeout` is in seconds. Raises DocumentError
        `document_timeout`, `parser_crashed` or `chunker_crashed`, and the process is gone then, or StorageError.
        """
        self._work = order.work
        pipe = self._hand_over({**asdict(order), "task": str(order.task)})
        patience = _Patience(timeout)
        rest = b""
        while True:
            check()
            if patience.is_over():
                raise self._timed_out(timeout)
            block = _read(pipe)
            if block == b"":
                raise self._crashed()
            *lines, rest = (rest + (block or b"")).split(b"\n")
            for line in lines:
                message: Message = json.loads(line)
                if "storage" in message:
                    raise StorageError(message["storage"])
                yield message
                if "record" in message:
                    return

    def _hand_over(self, order: Message) -> IO[bytes]:
        """Answers the pipe on which replies come."""
        if self._process is None or self._process.poll() is not None:
            self._kill()
            self._process = _start()
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
        except BrokenPipeError:
            raise self._crashed() from None
        return self._process.stdout

    def _timed_out(self, timeout: float) -> DocumentError:
        self._kill()
        message = f"The document was not done after document_timeout ({timeout:g} seconds) and was given up."
        return DocumentError("document_timeout", message, stage=self._stage, retryable=True)

    def _crashed(self) -> DocumentError:
        assert self._process is not None
        try:
            code = self._process.wait(_LONGEST_GAP)
        except subprocess.TimeoutExpired:
            code = 0
        self._kill()
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        if self._work == "parse":
            message = f"The document made its parser crash ({how}); it may be damaged, or built to do so."
            return DocumentError("parser_crashed", message, stage="parse")
        message = f"Cutting the document crashed ({how}); it may be too large, or built to do so."
        return DocumentError("chunker_crashed", message, stage="chunk")

    @property
    def _stage(self) -> Stage:
        return "parse" if self._work == "parse" else "chunk"

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            # Closes the pipes, and waits.
            with self._process:
                pass
            self._process = None


class _Patience:
    """A time limit that only counts the time in which this process was running."""

    def __init__(self, seconds: float) -> None:
        self._left = seconds
        self._seen = time.monotonic()

    def is_over(self) -> bool:
        now = time.monotonic()
        self._left -= min(now - self._seen, _LONGEST_GAP)
        self._seen = now
        return self._left <= 0


def _start() -> subprocess.Popen[bytes]:
    # The child finds its modules where this process does, whatever the working directory is.
    paths = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
    return subprocess.Popen(
        [sys.executable, "-P", "-m", CHILD_MODULE, str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
        # More threads would only take turns, and each reserves memory.
        env={**os.environ, "PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
    )


def _read(pipe: IO[bytes]) -> bytes | None:
    """What has come, b"" at the end, None when nothing comes for a tenth of a second."""
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    return os.read(pipe.fileno(), _BLOCK) if poll.poll(_POLL_SECONDS * 1000) else None

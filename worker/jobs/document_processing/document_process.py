"""The parent's side of a document process: start it, hand it a document, listen, and kill it when it must go."""

from __future__ import annotations

import json
import math
import select
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worker.jobs.document_processing.errors import DocumentError, Stage
from worker.jobs.document_processing.task import Work
from worker.jobs.shared import parent_side
from worker.jobs.shared.errors import StorageError
from worker.jobs.shared.patience import Patience

CHILD_MODULE = "worker.jobs.document_processing.child"

Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Order:
    """`task`: the file of the work order; `timeout`: seconds; `topics`: the libraries for learning are needed."""

    work: Work
    task: Path
    timeout: float
    topics: bool = False
    password: str | None = field(default=None, repr=False)


class DocumentProcess:
    """One process for one document after the other, started when needed and again after it was lost."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._work: Work = "parse"
        self._rest = b""
        self._timeout = math.inf
        self._patience = Patience(math.inf)

    def begin(self, order: Order, memory_bytes: int) -> None:
        """Hand over the order. Raises DocumentError as `receive` does."""
        self._work, self._timeout, self._rest = order.work, order.timeout, b""
        self._patience = Patience(order.timeout)
        self._hand_over(
            {"work": order.work, "task": str(order.task), "password": order.password, "memory_bytes": memory_bytes}
        )

    def receive(self) -> list[Message]:
        """The answers that have come since the last call, without waiting; the last one to an order has the key
        "record".

        Raises DocumentError `document_timeout`, `parser_crashed` or `chunker_crashed`, and the process is gone then, or
        StorageError.
        """
        if self._patience.is_over():
            raise self._timed_out()
        assert self._process is not None
        block = parent_side.receive(self._process, 0)
        if block == b"":
            raise self._crashed()
        *lines, self._rest = (self._rest + (block or b"")).split(b"\n")
        messages: list[Message] = [json.loads(line) for line in lines]
        for message in messages:
            if "storage" in message:
                raise StorageError(message["storage"])
        return messages

    def fileno(self) -> int:
        """Of the pipe on which answers come."""
        assert self._process is not None and self._process.stdout is not None
        return self._process.stdout.fileno()

    def kill(self) -> None:
        if self._process is not None:
            parent_side.kill(self._process)
            self._process = None

    def _hand_over(self, order: Message) -> None:
        if self._process is None or self._process.poll() is not None:
            self.kill()
            self._process = parent_side.start(CHILD_MODULE)
        try:
            parent_side.send(self._process, order)
        except BrokenPipeError:
            raise self._crashed() from None

    def _timed_out(self) -> DocumentError:
        self.kill()
        message = f"The document was not done after document_timeout ({self._timeout:g} seconds) and was given up."
        return DocumentError("document_timeout", message, stage=self._stage, retryable=True)

    def _crashed(self) -> DocumentError:
        assert self._process is not None
        how = parent_side.ending(self._process)
        self.kill()
        if self._work == "parse":
            message = f"The document made its parser crash ({how}); it may be damaged, or built to do so."
            return DocumentError("parser_crashed", message, stage="parse")
        message = f"Cutting the document crashed ({how}); it may be too large, or built to do so."
        return DocumentError("chunker_crashed", message, stage="chunk")

    @property
    def _stage(self) -> Stage:
        return "parse" if self._work == "parse" else "chunk"


def wait_for(processes: Iterable[DocumentProcess], seconds: float) -> bool:
    """Whether one of them has answered within the time."""
    poll = select.poll()
    for process in processes:
        poll.register(process, select.POLLIN)
    return bool(poll.poll(seconds * 1000))

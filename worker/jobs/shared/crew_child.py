"""A process of a crew: reads orders from stdin and answers on stdout, each one JSON object a line.

It is started by `crew`. Its arguments are the parent's process id, the function that does the work, and how many bytes
of addresses it may use.
"""

from __future__ import annotations

import gc
import json
import sys
from importlib import import_module

from worker.jobs.shared.child_side import begin, limit_memory, reply
from worker.jobs.shared.crew import Answer, Work
from worker.jobs.shared.errors import StorageError


def main() -> None:
    """Serve until stdin ends."""
    replies = begin(int(sys.argv[1]))
    memory_bytes = int(sys.argv[3])
    limit_memory(memory_bytes)
    work = _function(sys.argv[2])
    # What has been imported stays, and need not be looked through again and again.
    gc.freeze()
    for line in sys.stdin.buffer:
        reply(replies, _serve(work, json.loads(line), memory_bytes))


def _serve(work: Work, order: dict[str, str], memory_bytes: int) -> Answer:
    try:
        return {"done": work(order)}
    except StorageError as error:
        return {"storage": str(error)}
    except MemoryError:
        return {"memory": memory_bytes}


def _function(name: str) -> Work:
    module, _, function = name.partition(":")
    work: Work = getattr(import_module(module), function)
    return work


if __name__ == "__main__":
    main()

"""The document process: reads work orders from stdin and answers on stdout, each one JSON object a line.

It is started by `document_process` and lives for one document after the other. Whatever kills it (a crash inside
PDFium, the memory limit, a timeout, a pattern that never ends) costs one document and not the job.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from worker.jobs.document_processing.works import Parse, Tell, do
from worker.jobs.shared.child_side import begin, limit_memory, reply
from worker.jobs.shared.errors import StorageError
from worker.jobs.shared.files import Record


def main(parse: Parse | None = None) -> None:
    """Serve until stdin ends. The one argument is the parent's process id. `parse`: instead of the usual one."""
    replies = begin(int(sys.argv[1]))
    for line in sys.stdin.buffer:
        reply(replies, _serve(json.loads(line), parse, lambda message: reply(replies, message)))


def _serve(order: dict[str, Any], parse: Parse | None, tell: Tell) -> Record:
    """The last answer to the order."""
    # Before the libraries are loaded, so that they start under it.
    limit_memory(order["memory_bytes"])
    try:
        return {"record": do(order, parse, tell)}
    except StorageError as error:
        return {"storage": str(error)}


if __name__ == "__main__":
    main()

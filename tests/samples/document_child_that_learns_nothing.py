"""A document process that is killed when it begins to learn from all texts."""

from __future__ import annotations

import os
import signal

from worker.jobs.document_processing import child, topics


def be_killed(*arguments: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


topics.fit = be_killed  # type: ignore[assignment]

if __name__ == "__main__":
    child.main()

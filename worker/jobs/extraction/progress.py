"""The five stages of the job."""

from __future__ import annotations

from typing import Final

from worker.jobs.shared.progress import Stage

# Where each stage begins and how much of the whole it is.
LOAD: Final[Stage] = (0.0, 0.05)
VECTORISE: Final[Stage] = (0.05, 0.35)
SCORE: Final[Stage] = (0.40, 0.15)
EXTRACT: Final[Stage] = (0.55, 0.35)
WRITE: Final[Stage] = (0.90, 0.10)

"""The five stages of the job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from worker.jobs.shared.progress import Stage

# Where each stage begins and how much of the whole it is.
LOAD: Final[Stage] = (0.0, 0.10)
VECTORISE: Final[Stage] = (0.10, 0.40)
GROW: Final[Stage] = (0.50, 0.35)
NAME: Final[Stage] = (0.85, 0.12)
WRITE: Final[Stage] = (0.97, 0.03)
# Where a model is asked for names, that takes longer than all else.
WITH_MODEL: Final[Mapping[Stage, Stage]] = {
    LOAD: (0.0, 0.04),
    VECTORISE: (0.04, 0.16),
    GROW: (0.20, 0.14),
    NAME: (0.34, 0.63),
}

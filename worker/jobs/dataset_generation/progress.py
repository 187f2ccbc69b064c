"""How far the job is: stages, each with its share. It never goes backwards."""

from __future__ import annotations

from typing import Final

from worker.context import JobContext

# Where each stage begins and how much of the whole it is.
LOAD: Final = (0.0, 0.10)
GENERATE: Final = (0.10, 0.65)
DEDUPLICATE: Final = (0.75, 0.10)
WRITE: Final = (0.85, 0.10)
QUALITY: Final = (0.95, 0.05)

Stage = tuple[float, float]


class Progress:
    def __init__(self, ctx: JobContext) -> None:
        self._ctx = ctx
        self._fraction = 0.0

    def note(self, stage: Stage, step: str, done: int, total: int, part: tuple[float, float] = (0.0, 1.0)) -> None:
        """Also the place at which a cancelled job ends. `done`: items of `total` in this step, which is the `part` of
        the stage from the first to the second number. Raises JobCancelled."""
        self._ctx.check()
        low, high = part
        within = low + (high - low) * (min(done / total, 1.0) if total else 0.0)
        self._fraction = max(self._fraction, stage[0] + stage[1] * within)
        self._ctx.progress(self._fraction, step=step, done=done, total=max(total, done))

    def finish(self, entries: int) -> None:
        self._ctx.progress(1.0, step="Done", done=entries, total=entries)

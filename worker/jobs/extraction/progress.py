"""How far the job is: five stages, each with its share. It never goes backwards."""

from __future__ import annotations

from typing import Final

from worker.context import JobContext

# Where each stage begins and how much of the whole it is.
LOAD: Final = (0.0, 0.05)
VECTORISE: Final = (0.05, 0.35)
SCORE: Final = (0.40, 0.15)
EXTRACT: Final = (0.55, 0.35)
WRITE: Final = (0.90, 0.10)

Stage = tuple[float, float]


class Progress:
    def __init__(self, ctx: JobContext) -> None:
        self._ctx = ctx
        self._fraction = 0.0
        self.total = 0

    def note(self, stage: Stage, step: str, done: int, part: float | None = None) -> None:
        """Also the place at which a cancelled job ends. `done`: chunks of `total` in this stage; `part`: how much of
        the stage that is, when chunks do not tell it. Raises JobCancelled."""
        self._ctx.check()
        if part is None:
            part = done / self.total if self.total else 0.0
        self._fraction = max(self._fraction, stage[0] + stage[1] * min(part, 1.0))
        self._ctx.progress(self._fraction, step=step, done=done, total=max(self.total, done))

    def finish(self) -> None:
        self._ctx.progress(1.0, step="Done", done=self.total, total=self.total)

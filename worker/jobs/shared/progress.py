"""How far a job of several stages is. It never goes backwards."""

from __future__ import annotations

from worker.context import JobContext

# Where a stage begins and how much of the whole it is, both from 0.0 to 1.0.
Stage = tuple[float, float]


class Progress:
    """`total`: how many items the job has, once that is known."""

    def __init__(self, ctx: JobContext) -> None:
        self._ctx = ctx
        self._fraction = 0.0
        self.total = 0

    def note(self, stage: Stage, step: str, done: int, part: float | None = None) -> None:
        """Also the place at which a cancelled job ends. `done`: items of `total` in this stage; `part`: how much of
        the stage that is, when items do not tell it. Raises JobCancelled."""
        self._ctx.check()
        if part is None:
            part = done / self.total if self.total else 0.0
        self._fraction = max(self._fraction, stage[0] + stage[1] * min(part, 1.0))
        self._ctx.progress(self._fraction, step=step, done=done, total=max(self.total, done))

    def finish(self) -> None:
        self._ctx.progress(1.0, step="Done", done=self.total, total=self.total)

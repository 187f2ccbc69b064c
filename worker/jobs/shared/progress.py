"""How far a job of several stages is. It never goes backwards."""

from __future__ import annotations

from collections.abc import Mapping

from worker.context import JobContext

# Where a stage begins and how much of the whole it is, both from 0.0 to 1.0.
Stage = tuple[float, float]


class Progress:
    """`total`: how many items the job has, once that is known. `moved`: where stages lie in jobs of this kind, when not
    where they say themselves."""

    def __init__(self, ctx: JobContext, moved: Mapping[Stage, Stage] | None = None) -> None:
        self._ctx = ctx
        self._moved = moved or {}
        self._fraction = 0.0
        self.total = 0

    def note(self, stage: Stage, step: str, done: int, part: float | None = None, *, total: int | None = None) -> None:
        """Also the place at which a cancelled job ends. `done`: items of `total` in this stage, of the job's own when
        not given; `part`: how much of the stage that is, when items do not tell it. Raises JobCancelled."""
        self._ctx.check()
        total = self.total if total is None else total
        if part is None:
            part = done / total if total else 0.0
        start, size = self._moved.get(stage, stage)
        self._fraction = max(self._fraction, start + size * min(part, 1.0))
        self._ctx.progress(self._fraction, step=step, done=done, total=max(total, done))

    def finish(self) -> None:
        self._ctx.progress(1.0, step="Done", done=self.total, total=self.total)

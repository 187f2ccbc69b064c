"""How far the job is: over its stages, the documents of one, and inside of a document. It never goes backwards."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Final

from worker.context import JobContext

_LONGEST_NAME: Final = 120
# Far more than what many small additions lose.
_ROUNDING: Final = 1e-6
# Where each begins and ends; checking the parameters comes before, writing the manifest after them.
PARSE: Final = (0.02, 0.72)
BOILERPLATE: Final = (0.72, 0.77)
LEARN: Final = (0.77, 0.85)
CHUNK: Final = (0.77, 0.97)
CHUNK_AFTER_LEARNING: Final = (0.85, 0.97)
ASK: Final = (0.77, 0.92)
CHUNK_AFTER_ASKING: Final = (0.92, 0.97)
MANIFEST: Final = (0.97, 1.0)


class Progress:
    def __init__(self, ctx: JobContext) -> None:
        self._ctx = ctx
        self._stage = (0.0, 0.02)
        self._total = 0
        self._parts: dict[int, float] = {}
        self._done = 0.0
        self._fraction = 0.0

    def begin(self, stage: tuple[float, float], total: int) -> None:
        """`total`: how many documents the stage works on."""
        self._stage, self._total = stage, total
        self._parts, self._done = {}, 0.0

    def note(self, number: int, name: str, doing: str, part: float) -> None:
        """`number` counts from 1 within the stage; `part` is how much of this document is done, 0.0 to 1.0."""
        step = f"{doing} {number}/{self._total} {PurePosixPath(name).name[-_LONGEST_NAME:]}"
        before = self._parts.get(number, 0.0)
        # A document may be begun anew.
        self._parts[number] = max(before, part)
        self._done += self._parts[number] - before
        self._tell(step, self._done)

    def overall(self, doing: str, part: float) -> None:
        """For work on all documents together; `part` is how much of it is done."""
        self._tell(doing, part * self._total)

    def finish(self) -> None:
        self._fraction = 1.0
        self._ctx.progress(1.0, step="Done", done=self._total, total=self._total)

    def _tell(self, step: str, done: float) -> None:
        begin, end = self._stage
        self._fraction = max(self._fraction, begin + (end - begin) * done / max(self._total, 1))
        self._ctx.progress(self._fraction, step=step, done=int(done + _ROUNDING), total=self._total)

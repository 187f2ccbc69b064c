"""How far the job is, over documents and inside of one. It never goes backwards."""

from __future__ import annotations

from pathlib import PurePosixPath

from worker.context import JobContext

# Checking the parameters comes before the documents, writing the manifest after them.
_BEFORE, _DOCUMENTS = 0.02, 0.95
_LONGEST_NAME = 120


class Progress:
    def __init__(self, ctx: JobContext, total: int) -> None:
        self._ctx = ctx
        self._total = total
        self._fraction = 0.0

    def note(self, index: int, name: str, stage: str, part: float) -> None:
        """`index` counts from 1; `part` is how much of this document is done, 0.0 to 1.0."""
        fraction = _BEFORE + _DOCUMENTS * (index - 1 + part) / self._total
        self._fraction = max(self._fraction, fraction)
        step = f"{stage} {index}/{self._total} {PurePosixPath(name).name[-_LONGEST_NAME:]}"
        self._ctx.progress(self._fraction, step=step, done=index - 1 + (part >= 1), total=self._total)

    def finish(self) -> None:
        self._ctx.progress(1.0, step="Done", done=self._total, total=self._total)

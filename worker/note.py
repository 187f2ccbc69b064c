"""How far a job is, in its own words. Used on both sides of a child's channel, so it imports nothing heavy."""

from __future__ import annotations

from typing import Final, NamedTuple

from worker.wording import one_line

MOST_STEP_CHARACTERS: Final = 200


class Note(NamedTuple):
    fraction: float | None = None
    step: str | None = None
    done: int | None = None
    total: int | None = None

    def followed_by(self, fraction: float | None, step: str | None, done: int | None, total: int | None) -> Note:
        """The newer words, and the older ones where the newer say nothing: a note in between may never be sent."""
        if fraction is None and done is not None and total:
            fraction = done / total
        return Note(
            self.fraction if fraction is None else min(1.0, max(0.0, float(fraction))),
            self.step if step is None else one_line(step, MOST_STEP_CHARACTERS),
            self.done if done is None else int(done),
            self.total if total is None else int(total),
        )

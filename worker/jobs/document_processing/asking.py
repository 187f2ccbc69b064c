"""Stage 4 in mode `llm`: the model is asked of each text where it turns to another matter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Final

from worker.jobs.document_processing import progress
from worker.jobs.document_processing.beginnings import Window, borders_in, windows
from worker.jobs.document_processing.outcome import FALLBACK, Outcome
from worker.jobs.document_processing.parsed import Notice
from worker.jobs.document_processing.prompts import Beginnings, to_find
from worker.jobs.document_processing.stage import Job
from worker.jobs.shared.llm.errors import ItemFailure
from worker.jobs.shared.llm.session import Llm
from worker.jobs.shared.workspace import storing

Numbered = tuple[int, Outcome]
# Of the texts that are in memory together, so that many small ones can be asked about at a time.
_CHARACTERS: Final = 1_000_000


def ask_all(job: Job, llm: Llm, parsed: list[Numbered]) -> dict[int, list[int]]:
    """The borders of each document by its number. Those about which asking failed are left out, and have a warning.

    Raises what `Llm.map` raises, and RetryableError `llm_unavailable` when no question has reached the endpoint.
    """
    asking = _Asking(job, llm, sum(outcome.record["characters"] for _, outcome in parsed))
    job.progress.begin(progress.ASK, len(parsed))
    borders: dict[int, list[int]] = {}
    for batch in _batches(parsed):
        borders |= asking.about(batch)
    if asking.failures and all(failure.retryable for failure in asking.failures):
        llm.raise_if_nothing_came()
    return borders


class _Asking:
    """`characters`: of all texts."""

    def __init__(self, job: Job, llm: Llm, characters: int) -> None:
        self._job = job
        self._llm = llm
        self._characters = max(characters, 1)
        self._done = 0
        self.failures: list[ItemFailure] = []

    def about(self, batch: list[Numbered]) -> dict[int, list[int]]:
        items = [(number, window) for number, outcome in batch for window in windows(self._text(outcome))]
        size = sum(outcome.record["characters"] for _, outcome in batch)
        told = self._llm.map(items, self._borders, lambda done: self._note(size * done / len(items)))
        self._done += size
        borders: dict[int, list[int]] = {number: [] for number, _ in batch}
        failed: dict[int, ItemFailure] = {}
        for (number, _), found in zip(items, told, strict=True):
            if isinstance(found, ItemFailure):
                failed.setdefault(number, found)
                self.failures.append(found)
            else:
                borders[number] += found
        for number, outcome in batch:
            if number in failed:
                _warn(outcome, failed[number])
        return {number: found for number, found in borders.items() if number not in failed}

    async def _borders(self, item: tuple[int, Window]) -> list[int]:
        _, window = item
        reply = await self._llm.ask(to_find(window), Beginnings)
        borders, dropped = borders_in(window, reply.beginnings)
        self._llm.usage.ungrounded_dropped += dropped
        return borders

    def _text(self, outcome: Outcome) -> str:
        with storing():
            return self._job.artefacts.text_file(outcome.record).read_bytes().decode("utf-8")

    def _note(self, characters: float) -> None:
        self._job.progress.overall("Asking the model", (self._done + characters) / self._characters)


def _batches(parsed: list[Numbered]) -> Iterator[list[Numbered]]:
    batch: list[Numbered] = []
    size = 0
    for each in parsed:
        batch.append(each)
        size += each[1].record["characters"]
        if size >= _CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _warn(outcome: Outcome, failure: ItemFailure) -> None:
    message = (
        f"The borders of its chunks are those of mode 'offline', since {failure.message.rstrip('.')} ({failure.code})."
    )
    outcome.record["warnings"] = [*outcome.record["warnings"], asdict(Notice(FALLBACK, message))]

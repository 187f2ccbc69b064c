"""The chunks of the job, checked once and then read as often as needed, never all at once."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from worker.context import JobContext, PermanentError
from worker.jobs.extraction.model import Chunk
from worker.jobs.extraction.parameters import Parameters
from worker.jobs.extraction.progress import LOAD
from worker.jobs.shared.files import Record
from worker.jobs.shared.portions import portions
from worker.jobs.shared.progress import Progress
from worker.jobs.shared.reading import Check, SameFile
from worker.jobs.shared.reading import chunks as read_chunks
from worker.jobs.shared.word_counts import Counts
from worker.jobs.shared.words import words_of

_BATCH = 5000


class Chunks:
    """`count`: those that are used; `left_out`: those beyond `max_chunks`.

    Raises PermanentError `no_chunks`, `schema_mismatch`, RetryableError `file_changed`, and what reading raises.
    """

    def __init__(self, ctx: JobContext, parameters: Parameters, progress: Progress, counts: Counts) -> None:
        """`counts`: is told the words of each."""
        self._ctx = ctx
        self._source = parameters.source
        self._most = parameters.max_chunks
        self._same = SameFile()
        self.count = self.left_out = 0
        self._check_all(progress, counts)

    def __iter__(self) -> Iterator[Chunk]:
        return islice(map(_chunk, self._read(_misplaced)), self._most)

    def batches(self, size: int) -> Iterator[list[Chunk]]:
        """Of so many chunks, or fewer long ones."""
        return portions(self, size, lambda chunk: len(chunk.text))

    def _read(self, check: Check) -> Iterator[Record]:
        return read_chunks(self._ctx, self._source, "source", check, self._same)

    def _check_all(self, progress: Progress, counts: Counts) -> None:
        seen: set[str] = set()

        def problem(chunk: Record) -> str | None:
            if chunk["chunk_id"] in seen and len(seen) < self._most:
                return f"the chunk_id '{str(chunk['chunk_id'])[:200]}' occurs twice"
            return _misplaced(chunk)

        chunks = self._read(problem)
        for chunk in islice(chunks, self._most):
            seen.add(str(chunk["chunk_id"]))
            counts.add(words_of(str(chunk["text"]).lower()))
            if len(seen) % _BATCH == 0:
                progress.note(LOAD, "Checking chunks", len(seen), 0.5)
        self.count = len(seen)
        self.left_out = sum(1 for _ in chunks)
        if not self.count:
            raise PermanentError("no_chunks", "The source has no chunks, so there is nothing to extract from.")
        progress.total = self.count
        progress.note(LOAD, "Checked the chunks", self.count)


def _misplaced(chunk: Record) -> str | None:
    start, end = chunk.get("start"), chunk.get("end")
    if start is None and end is None:
        return None
    if type(start) is int and type(end) is int and start >= 0 and end - start == len(str(chunk["text"])):
        return None
    return "start and end are not the place of its text"


def _chunk(record: Record) -> Chunk:
    start = record.get("start")
    return Chunk(
        str(record["chunk_id"]), str(record["document_id"]), str(record["text"]), start if type(start) is int else None
    )

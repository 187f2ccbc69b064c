"""The chunks of the job, checked once and then read as often as needed, never all at once."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from worker.context import JobContext, PermanentError
from worker.jobs.extraction.model import Chunk
from worker.jobs.extraction.parameters import Parameters
from worker.jobs.extraction.progress import LOAD
from worker.jobs.shared.files import Record
from worker.jobs.shared.progress import Progress
from worker.jobs.shared.reading import chunks as read_chunks
from worker.jobs.shared.word_counts import Counts
from worker.jobs.shared.words import words_of

_BATCH = 5000


class Chunks:
    """`count`: those that are used; `left_out`: those beyond `max_chunks`.

    Raises PermanentError `no_chunks`, `schema_mismatch`, and what reading a source raises.
    """

    def __init__(self, ctx: JobContext, parameters: Parameters, progress: Progress, counts: Counts) -> None:
        """`counts`: is told the words of each."""
        self._ctx = ctx
        self._source = parameters.source
        self._most = parameters.max_chunks
        self.count = self.left_out = 0
        self._check_all(progress, counts)

    def __iter__(self) -> Iterator[Chunk]:
        return islice(self._read(), self.count)

    def batches(self, size: int) -> Iterator[list[Chunk]]:
        chunks = iter(self)
        while batch := list(islice(chunks, size)):
            yield batch

    def _read(self) -> Iterator[Chunk]:
        return map(_chunk, read_chunks(self._ctx, self._source))

    def _check_all(self, progress: Progress, counts: Counts) -> None:
        seen = set()
        chunks = self._read()
        for chunk in islice(chunks, self._most):
            if chunk.chunk_id in seen:
                raise PermanentError("schema_mismatch", f"The chunk_id '{chunk.chunk_id[:200]}' occurs twice.")
            seen.add(chunk.chunk_id)
            counts.add(words_of(chunk.text.lower()))
            if len(seen) % _BATCH == 0:
                progress.note(LOAD, "Checking chunks", len(seen), 0.5)
        self.count = len(seen)
        self.left_out = sum(1 for _ in chunks)
        if not self.count:
            raise PermanentError("no_chunks", "The source has no chunks, so there is nothing to extract from.")
        progress.total = self.count
        progress.note(LOAD, "Checked the chunks", self.count)


def _chunk(record: Record) -> Chunk:
    text, start, end = str(record["text"]), record.get("start"), record.get("end")
    chunk_id = str(record["chunk_id"])
    if start is None and end is None:
        return Chunk(chunk_id, str(record["document_id"]), text, None)
    if type(start) is not int or type(end) is not int or start < 0 or end - start != len(text):
        message = f"Chunk '{chunk_id[:200]}': start and end are not the place of its text."
        raise PermanentError("schema_mismatch", message)
    return Chunk(chunk_id, str(record["document_id"]), text, start)

"""The chunks of the job: which are used, and their words as numbers. Texts are read from disk as often as needed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from worker.context import JobContext, PermanentError
from worker.jobs.shared.duplicates import Duplicates
from worker.jobs.shared.files import Record
from worker.jobs.shared.progress import Progress
from worker.jobs.shared.reading import chunks as read_chunks
from worker.jobs.taxonomy_processing.memory import give_back
from worker.jobs.taxonomy_processing.parameters import MIN_CHUNKS, Parameters
from worker.jobs.taxonomy_processing.progress import LOAD

# Texts that are so alike say the same.
_ALIKE: Final = 0.8
_BATCH: Final = 500


@dataclass(frozen=True, slots=True)
class Chunk:
    """`number`: its place in the source, from 0 on."""

    number: int
    chunk_id: str
    document_id: str
    text: str


class Corpus:
    """`numbers`: of the chunks that are used, ascending; `same`: duplicate -> the chunk that it repeats.

    Raises PermanentError `no_chunks`, `schema_mismatch` and what reading a source raises.
    """

    def __init__(self, ctx: JobContext, parameters: Parameters, progress: Progress) -> None:
        self._ctx = ctx
        self._source = parameters.source
        self._most = parameters.max_chunks
        self.total = self.left_out = 0
        self.same: dict[int, int] = {}
        distinct = self._load(parameters, progress)
        give_back()
        self.numbers = distinct if parameters.processing_mode == "complete" else self._sample(distinct, parameters)
        if len(self.numbers) < MIN_CHUNKS:
            message = (
                f"The source has {len(self.numbers)} different chunks with words, and {MIN_CHUNKS} are needed to find "
                "categories in them; use a hand-written taxonomy."
            )
            raise PermanentError("no_chunks", message)
        progress.total = len(self.numbers)

    def texts(self) -> Iterator[str]:
        """Of the chunks that are used, in their order."""
        return (chunk.text for chunk in self.some(self.numbers))

    def some(self, numbers: list[int]) -> Iterator[Chunk]:
        """The chunks with these numbers, which are ascending."""
        wanted = iter(numbers)
        following = next(wanted, None)
        for chunk in self.all():
            if chunk.number == following:
                yield chunk
                following = next(wanted, None)

    def all(self) -> Iterator[Chunk]:
        records = islice(read_chunks(self._ctx, self._source), self._most)
        return (_chunk(number, record) for number, record in enumerate(records))

    def _load(self, parameters: Parameters, progress: Progress) -> list[int]:
        """The numbers of chunks that say something new."""
        seen = Duplicates(_ALIKE, parameters.seed)
        distinct: list[int] = []
        for chunk in self.all():
            self.total = chunk.number + 1
            if chunk.text.strip():
                same = seen.first(chunk.text)
                if same is None:
                    distinct.append(chunk.number)
                else:
                    self.same[chunk.number] = distinct[same]
            if self.total % _BATCH == 0:
                progress.note(LOAD, "Reading chunks", self.total, min(0.95, self.total / self._most))
        self.left_out = sum(1 for _ in islice(read_chunks(self._ctx, self._source), self._most, None))
        progress.note(LOAD, "Read the chunks", self.total, 1.0)
        return distinct

    def _sample(self, distinct: list[int], parameters: Parameters) -> list[int]:
        """Evenly over the documents: in the order of the source, each so many-th."""
        size = min(parameters.sample_size, len(distinct))
        chosen = [distinct[n * len(distinct) // size] for n in range(size)]
        kept = set(chosen)
        self.same = {number: first for number, first in self.same.items() if first in kept}
        return chosen


def _chunk(number: int, record: Record) -> Chunk:
    return Chunk(number, str(record["chunk_id"]), str(record["document_id"]), str(record["text"]))

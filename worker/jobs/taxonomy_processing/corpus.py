"""The chunks of the job: which are used, and how often they have which words. Texts are read as often as needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple

from worker.context import JobContext, PermanentError
from worker.jobs.shared.duplicates import Duplicates, shape_of_words
from worker.jobs.shared.files import Record
from worker.jobs.shared.progress import Progress
from worker.jobs.shared.reading import SameFile
from worker.jobs.shared.reading import chunks as read_chunks
from worker.jobs.shared.word_counts import Counts
from worker.jobs.shared.words import words_of
from worker.jobs.taxonomy_processing.memory import give_back
from worker.jobs.taxonomy_processing.parameters import MIN_CHUNKS, Parameters
from worker.jobs.taxonomy_processing.progress import LOAD

# Texts that are so alike say the same.
_ALIKE: Final = 0.8
_BATCH: Final = 500


class Chunk(NamedTuple):
    """`number`: its place in the source, from 0 on."""

    number: int
    chunk_id: str
    document_id: str
    text: str


class Corpus:
    """`numbers`: of the chunks that are used, ascending; `same`: duplicate -> the chunk that it repeats;
    `counted`: places of the chunks that are used in `counts`, where all are that say something new.

    Raises PermanentError `no_chunks`, `schema_mismatch`, RetryableError `file_changed` and what reading raises.
    """

    def __init__(self, ctx: JobContext, parameters: Parameters, progress: Progress, counts: Counts) -> None:
        """`counts`: to be filled."""
        self._ctx = ctx
        self._source = parameters.source
        self._most = parameters.max_chunks
        self._same = SameFile()
        self.total = self.left_out = 0
        self.same: dict[int, int] = {}
        distinct = self._load(parameters, progress, counts)
        give_back()
        self.counted: Sequence[int] = range(len(distinct))
        self.numbers = distinct
        if parameters.processing_mode == "fast":
            self._take_sample(parameters.sample_size)
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
        return islice(self._read(), self._most)

    def _read(self) -> Iterator[Chunk]:
        records = read_chunks(self._ctx, self._source, "source", same=self._same)
        return (_chunk(number, record) for number, record in enumerate(records))

    def _load(self, parameters: Parameters, progress: Progress, counts: Counts) -> list[int]:
        """The numbers of chunks that say something new."""
        seen = Duplicates(_ALIKE, parameters.seed)
        distinct: list[int] = []
        chunks = self._read()
        for chunk in islice(chunks, self._most):
            self.total = chunk.number + 1
            if chunk.text.strip():
                words = words_of(chunk.text.lower())
                same = seen.first_of(shape_of_words(words))
                if same is None:
                    distinct.append(chunk.number)
                    counts.add(words)
                else:
                    self.same[chunk.number] = distinct[same]
            if self.total % _BATCH == 0:
                progress.note(LOAD, "Reading chunks", self.total, min(0.95, self.total / self._most))
        self.left_out = sum(1 for _ in chunks)
        progress.note(LOAD, "Read the chunks", self.total, 1.0)
        return distinct

    def _take_sample(self, size: int) -> None:
        """Evenly over the documents: in the order of the source, each so many-th."""
        distinct, size = self.numbers, min(size, len(self.numbers))
        self.counted = [n * len(distinct) // size for n in range(size)]
        self.numbers = [distinct[place] for place in self.counted]
        kept = set(self.numbers)
        self.same = {number: first for number, first in self.same.items() if first in kept}


def _chunk(number: int, record: Record) -> Chunk:
    return Chunk(number, str(record["chunk_id"]), str(record["document_id"]), str(record["text"]))

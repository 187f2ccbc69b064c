"""The records in their files, and what was left out in its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from worker.jobs.dataset_generation.check import is_grounded
from worker.jobs.dataset_generation.modes import Split
from worker.jobs.dataset_generation.parameters import Parameters
from worker.jobs.dataset_generation.progress import WRITE, Progress
from worker.jobs.dataset_generation.quality import Quality
from worker.jobs.dataset_generation.records import is_valid
from worker.jobs.dataset_generation.rejected import Rejected
from worker.jobs.dataset_generation.spool import Entry, Source, Spool
from worker.jobs.dataset_generation.support import is_supported
from worker.jobs.dataset_generation.writers import Writer, open_writer
from worker.jobs.shared.files import FileEntry, Record, entry_of
from worker.jobs.shared.workspace import storing

_BATCH: Final = 500


class SplitFile(NamedTuple):
    split: Split
    entry: FileEntry


def write_all(
    spool: Spool, parameters: Parameters, work: Path, rejected: Rejected, quality: Quality | None, progress: Progress
) -> list[SplitFile]:
    """Raises StorageError."""
    with _Splits(work, parameters).opened() as splits:
        done = 0
        for number, (entry, source) in enumerate(spool.entries()):
            reason, record = spool.fate(number), entry.record(parameters.schema_used)
            if reason is not None:
                rejected.add(reason, source.document_id, source.chunk_id, entry.task, record)
            else:
                splits.add(spool.split(number), record)
                if quality is not None:
                    _measure(quality, entry, record, source, parameters)
            done += 1
            if done % _BATCH == 0:
                progress.note(WRITE, "Writing records", done, len(spool))
    progress.note(WRITE, "Wrote the records", done, len(spool))
    return splits.files()


def _measure(quality: Quality, entry: Entry, record: Record, source: Source, parameters: Parameters) -> None:
    if entry.labels:
        is_found = set(entry.labels) <= set(entry.known)
    elif parameters.mode == "llm":
        is_found = is_supported(entry.task, entry.output, entry.parts, source.text)
    else:
        is_found = is_grounded(entry.output, entry.parts, source.text)
    valid = is_valid(record, parameters.schema_used)
    asked = f"{entry.instruction}\n{entry.input}"
    quality.add(entry.task, asked, entry.output, entry.known, valid=valid, grounded=is_found)


class _Splits:
    """Each split in each format."""

    def __init__(self, work: Path, parameters: Parameters) -> None:
        self._work = work
        self._parameters = parameters
        self._writers: dict[Split, list[Writer]] = {}
        self._waiting: dict[Split, list[Record]] = {split: [] for split in parameters.shares}
        self._counts = dict.fromkeys(parameters.shares, 0)

    @contextmanager
    def opened(self) -> Iterator[_Splits]:
        """All files are complete afterwards."""
        given = self._parameters
        with storing(), ExitStack() as stack:
            for split in given.shares:
                self._writers[split] = []
                for kind in given.formats:
                    file = self._work / f"{split}.{kind}"
                    writer = open_writer(kind, file, given.schema_used, csv_safe=given.csv_safe)
                    stack.callback(writer.close)
                    self._writers[split].append(writer)
            yield self
            for split in given.shares:
                self._flush(split)

    def add(self, split: Split, record: Record) -> None:
        waiting = self._waiting[split]
        waiting.append(record)
        self._counts[split] += 1
        if len(waiting) == _BATCH:
            self._flush(split)

    def files(self) -> list[SplitFile]:
        with storing():
            return [
                SplitFile(split, entry_of(self._work / name, name, self._counts[split]))
                for split in self._parameters.shares
                for name in [f"{split}.{kind}" for kind in self._parameters.formats]
            ]

    def _flush(self, split: Split) -> None:
        records: Sequence[Record] = self._waiting[split]
        for writer in self._writers[split]:
            writer.write(records)
        self._waiting[split] = []

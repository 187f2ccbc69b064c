"""From items to records: made in batches, checked one by one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from worker.jobs.dataset_generation.check import Check
from worker.jobs.dataset_generation.model import Draft, Generator, Item
from worker.jobs.dataset_generation.modes import SchemaName
from worker.jobs.dataset_generation.progress import GENERATE, Progress
from worker.jobs.dataset_generation.records import record_of
from worker.jobs.dataset_generation.rejected import Rejected
from worker.jobs.dataset_generation.spool import Spool


def generate(
    items: Iterable[Item],
    total: int,
    generator: Generator,
    schema: SchemaName,
    check: Check,
    spool: Spool,
    rejected: Rejected,
    progress: Progress,
) -> None:
    """Fill the spool. `total`: how many items there are."""
    done = 0
    for batch in _batches(items, generator.batch_size):
        for item, drafts in zip(batch, generator.drafts(batch), strict=True):
            spool.add(item, list(_fit(item, drafts, schema, check, rejected)))
        done += len(batch)
        progress.note(GENERATE, "Making and checking records", done, total)


def _fit(item: Item, drafts: Iterable[Draft], schema: SchemaName, check: Check, rejected: Rejected) -> Iterator[Draft]:
    for draft in drafts:
        record = record_of(draft, schema)
        reason = check.reason(item, draft, record)
        if reason is None:
            yield draft
        else:
            rejected.add(reason, item.document_id, item.chunk_id, draft.task, record)


def _batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    waiting = iter(items)
    while batch := list(islice(waiting, size)):
        yield batch

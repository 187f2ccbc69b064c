"""From items to records: made and checked some items at a time, and put together in the order of the items."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from worker.jobs.dataset_generation import work
from worker.jobs.dataset_generation.item_files import read_items
from worker.jobs.dataset_generation.load import Items
from worker.jobs.dataset_generation.made import Made
from worker.jobs.dataset_generation.making import Maker
from worker.jobs.dataset_generation.model import Generator
from worker.jobs.dataset_generation.progress import GENERATE, Progress
from worker.jobs.dataset_generation.rejected import Rejected
from worker.jobs.dataset_generation.rules import Rules
from worker.jobs.dataset_generation.spool import Spool
from worker.jobs.shared.crew import Crew

# What was made, and of how many items.
Step = tuple[Made, int]


def made_by_crew(items: Items, rules: Rules, crew: Crew, folder: Path) -> Iterator[Step]:
    """Raises StorageError, RetryableError `process_lost` and JobCancelled."""
    rules_file, weights_file = folder / "rules.json", folder / "weights.json"
    work.save_rules(rules, rules_file)
    items.weights.save(weights_file)
    orders = [work.order_to_make(file, rules_file, weights_file) for file in items.files]
    for order, done in zip(orders, crew.answers(orders), strict=True):
        result = Path(order["result"])
        yield Made.load(result), done
        result.unlink()


def made_here(items: Items, generator: Generator, maker: Maker) -> Iterator[Step]:
    """Raises StorageError and what the generator raises."""
    for file in items.files:
        batch = read_items(file)
        yield maker.made(batch, generator.drafts(batch)), len(batch)


def generate(steps: Iterator[Step], total: int, spool: Spool, rejected: Rejected, progress: Progress) -> None:
    """Fill the spool. `total`: how many items there are."""
    done = 0
    for made, count in steps:
        spool.add(made)
        rejected.add_lines(made.rejected.getvalue(), made.facts.refused)
        done += count
        progress.note(GENERATE, "Making and checking records", done, total)

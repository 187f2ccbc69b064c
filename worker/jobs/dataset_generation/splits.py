"""Which split a document goes to: the same one in every run, and each split as near to its share as documents allow."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from worker.context import PermanentError
from worker.jobs.dataset_generation.modes import Split


def assign(sizes: Mapping[str, int], shares: Mapping[Split, float], seed: int, what: str) -> dict[str, Split]:
    """The split of each group. `sizes`: records by group, more than none; `what`: what a group is, in the plural.

    Raises PermanentError `split_too_small` when there are fewer groups than splits.
    """
    if len(sizes) < len(shares):
        few = what.removesuffix("s") if len(sizes) == 1 else what
        raise too_small(f"{len(sizes)} {few} cannot fill {len(shares)} splits, each of which needs one at least", what)
    total = sum(sizes.values())
    free = {split: share * total for split, share in shares.items()}
    empty = list(shares)
    assigned: dict[str, Split] = {}
    ordered = sorted(sizes, key=lambda group: (_rank(seed, group), group))
    for place, group in enumerate(ordered):
        # From here on every group is needed for a split that has none.
        options = empty if len(ordered) - place <= len(empty) else list(shares)
        split = max(options, key=lambda option: free[option])
        free[split] -= sizes[group]
        assigned[group] = split
        if split in empty:
            empty.remove(split)
    return assigned


def check_filled(records: Mapping[Split, int], what: str) -> None:
    """Raises PermanentError `split_too_small` for a split that has lost all that it had."""
    empty = [split for split, count in records.items() if not count]
    if empty:
        raise too_small(f"all records of {' and '.join(empty)} are too much like those of other splits", what)


def too_small(reason: str, what: str) -> PermanentError:
    more = " or split_by 'record'" if what == "documents" else ""
    return PermanentError(
        "split_too_small", f"Too little for the splits: {reason}. Give more {what}, fewer splits{more}."
    )


def _rank(seed: int, group: str) -> bytes:
    return hashlib.sha256(f"{seed}:{group}".encode()).digest()

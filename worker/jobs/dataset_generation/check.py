"""Which records are fit to be kept, and the reasons for which others are not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Final, Literal

from worker.context import PermanentError
from worker.jobs.dataset_generation.model import Draft, Item
from worker.jobs.dataset_generation.records import is_valid, text_of
from worker.jobs.dataset_generation.rules import Rules
from worker.jobs.dataset_generation.support import is_supported
from worker.jobs.shared.files import Record

Reason = Literal["schema", "ungrounded", "too_short", "too_long", "duplicate", "leakage"]
REASONS: Final[tuple[Reason, ...]] = ("duplicate", "too_short", "schema", "too_long", "ungrounded", "leakage")
# A token hardly ever has more characters than this, and never more than one for each byte.
_LONGEST_TOKEN: Final = 20
# What stands between the parts of an answer.
_JOINS: Final = "- \n"

Fits = Callable[[str], bool]


class Check:
    """Raises PermanentError `missing_dependency` when tokens are to be counted and cannot be."""

    def __init__(self, rules: Rules) -> None:
        self._schema = rules.schema
        self._is_written = rules.is_written
        self._shortest = rules.shortest
        self._fits = None if rules.most_tokens is None else _fitting(rules.most_tokens)

    def reason(self, item: Item, draft: Draft, record: Record) -> Reason | None:
        """Why the record is refused, or None."""
        if not is_valid(record, self._schema):
            return "schema"
        if not self._is_grounded(item, draft):
            return "ungrounded"
        # The names of categories are as short as they are.
        if len(draft.input if draft.labels else draft.output) < self._shortest:
            return "too_short"
        if self._fits is not None and not self._fits(text_of(record)):
            return "too_long"
        return None

    def _is_grounded(self, item: Item, draft: Draft) -> bool:
        if draft.labels:
            return _is_labelled(item, draft)
        if self._is_written:
            return is_supported(draft.task, draft.output, draft.parts, item.text)
        return is_grounded(draft.output, draft.parts, item.text)


def is_grounded(output: str, parts: Sequence[str], text: str) -> bool:
    """Whether the output is made of the parts and nothing else, and all of them are in the text."""
    place = 0
    for part in parts:
        start = output.find(part, place)
        if start < 0 or output[place:start].strip(_JOINS) or part not in text:
            return False
        place = start + len(part)
    return bool(parts) and not output[place:].strip(_JOINS)


def _is_labelled(item: Item, draft: Draft) -> bool:
    return set(draft.labels) <= {label.text for label in item.labels}


def _fitting(most: int) -> Fits:
    if find_spec("semantic_text_splitter") is None:
        message = (
            "max_record_tokens needs semantic_text_splitter, which is not installed; install the extra 'documents'."
        )
        raise PermanentError("missing_dependency", message)
    # Only now: what it imports may have been missing.
    from worker.jobs.document_processing.measure import Measure
    from worker.jobs.document_processing.task import Chunking

    chunking = Chunking("token", most, 0, "o200k", 0, [])
    fits = Measure(chunking, markdown=False).fits

    def is_short_enough(text: str) -> bool:
        if len(text) > most * _LONGEST_TOKEN:
            return False
        return len(text.encode()) <= most or fits(text)

    return is_short_enough

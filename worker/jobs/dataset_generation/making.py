"""From items to records that have passed the checks, with all that can be told of each without the others.

Whoever works on some items needs nothing but this: it is done in this process or in others beside it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

import orjson

from worker.jobs.dataset_generation.check import Check
from worker.jobs.dataset_generation.made import Facts, Made
from worker.jobs.dataset_generation.model import Draft, Item
from worker.jobs.dataset_generation.records import record_of
from worker.jobs.dataset_generation.rejected import rejection
from worker.jobs.dataset_generation.rules import Rules
from worker.jobs.dataset_generation.shapes import bytes_of
from worker.jobs.shared.duplicates import DIGEST_BYTES, Shingles, likeness, shape_of, shingles_of
from worker.jobs.shared.files import Record, json_line


class Said:
    """What a record is asked of, and its answer."""

    def __init__(self, asked: str, answer: str) -> None:
        self._asked = asked
        self._answer = answer

    @cached_property
    def _of_asked(self) -> Shingles:
        return shingles_of(self._asked)

    @cached_property
    def _of_answer(self) -> Shingles:
        return shingles_of(self._answer)

    def is_like(self, other: Said, threshold: float) -> bool:
        """Whether both are. The answer is looked at first: it is shorter, and what differs."""
        if likeness(self._of_answer, other._of_answer) < threshold:
            return False
        return self._asked == other._asked or likeness(self._of_asked, other._of_asked) >= threshold


class Maker:
    """Raises PermanentError `missing_dependency`, see `Check`."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._check = Check(rules)

    def made(self, items: Iterable[Item], drafts: Iterable[Iterable[Draft]]) -> Made:
        """`drafts`: of each item. Nothing is kept of an item of which no draft is fit."""
        made = Made(Facts())
        for item, of_item in zip(items, drafts, strict=True):
            kept = [(draft, record) for draft, record in self._fit(item, of_item, made)]
            if kept:
                self._put(item, kept, made)
        return made

    def _fit(self, item: Item, drafts: Iterable[Draft], made: Made) -> Iterator[tuple[Draft, Record]]:
        refused = made.facts.refused
        for draft in drafts:
            record = record_of(draft, self._rules.schema)
            reason = self._check.reason(item, draft, record)
            if reason is None:
                yield draft, record
            else:
                refused[reason] = refused.get(reason, 0) + 1
                line = rejection(reason, item.document_id, item.chunk_id, draft.task, record)
                made.rejected.write(json_line(line))

    def _put(self, item: Item, kept: Sequence[tuple[Draft, Record]], made: Made) -> None:
        facts = made.facts
        facts.documents.append(item.document_id)
        facts.counts.append(len(kept))
        facts.texts.append(made.texts.write(bytes_of(shape_of(item.text))))
        known = [label.text for label in item.labels]
        made.sources.write(_line((item.document_id, item.chunk_id, item.text, known)))
        doubles = doubles_among([draft for draft, _ in kept], self._rules.threshold)
        facts.doubles += [len(facts.focused) + place for place in doubles]
        for draft, record in kept:
            # Most inputs are the text of the item, which need not be there once more.
            said = (*draft[:2], None if draft.input == item.text else draft.input, *draft[3:])
            made.entries.write(_line(said))
            made.digests.write(hashlib.blake2b(orjson.dumps(record), digest_size=DIGEST_BYTES).digest())
            facts.focused.append(None if draft.focus is None else draft.task)
            shape = b"" if draft.focus is None else bytes_of(shape_of(draft.focus))
            facts.focuses.append(made.focuses.write(shape))


def doubles_among(drafts: Sequence[Draft], threshold: float) -> Iterator[int]:
    """Places of those that have an input and an answer that are like an earlier one's."""
    others: list[Said] = []
    for place, draft in enumerate(drafts):
        said = Said(draft.input, draft.output)
        if any(said.is_like(other, threshold) for other in others):
            yield place
        else:
            others.append(said)


def _line(values: tuple[object, ...]) -> bytes:
    return orjson.dumps(values, option=orjson.OPT_APPEND_NEWLINE)

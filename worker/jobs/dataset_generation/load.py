"""The items of the job: chunks joined with what was found in them, put into files and never in memory all at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import orjson

from worker.context import JobContext, PermanentError
from worker.jobs.dataset_generation.categories import selected_of
from worker.jobs.dataset_generation.findings import Category, Finding, Findings
from worker.jobs.dataset_generation.item_files import write_items
from worker.jobs.dataset_generation.model import Item, Label, Span
from worker.jobs.dataset_generation.parameters import Parameters
from worker.jobs.dataset_generation.plan import Plan, field_of
from worker.jobs.dataset_generation.progress import LOAD, Progress
from worker.jobs.dataset_generation.terms import Weights
from worker.jobs.dataset_generation.work import order_to_count
from worker.jobs.shared.crew import Crew, Order
from worker.jobs.shared.reading import assignments, extractions
from worker.jobs.shared.reading import chunks as read_chunks
from worker.jobs.shared.workspace import storing

_WHAT: Final = {"extract": "extractions", "taxonomy": "assignments"}


class Items:
    """`files`: that the items are in; `count`: how many there are; `weights`: of the words in them.

    Raises PermanentError `no_chunks`, `no_records`, `unknown_category`, `ambiguous_category`, `schema_mismatch` and
    what reading a source raises.
    """

    def __init__(
        self, ctx: JobContext, parameters: Parameters, plan: Plan, findings: Findings, named: list[Category]
    ) -> None:
        """`named`: categories of the taxonomy; they exist, even when nothing was found for them."""
        self._ctx = ctx
        self._parameters = parameters
        self._plan = plan
        self._findings = findings
        self._named = named
        self._chunks = 0
        self._left_out: Counter[str] = Counter()
        self.files: list[Path] = []
        self.count = 0
        self.weights = Weights()

    def load(self, progress: Progress, crew: Crew, folder: Path, size: int) -> None:
        """`size`: items in a file. Raises also RetryableError `process_lost` and JobCancelled."""
        if self._plan.has_labels:
            self._load_findings(progress)
        for number, count in enumerate(crew.answers(self._orders(folder, size))):
            self._weigh(Path(order_to_count(self.files[number])["result"]))
            self.count += count
            # How many there will be is not known before.
            progress.note(LOAD, "Reading the source", self.count, self.count, (0.5, 0.5))
        if not self.count:
            raise self._nothing_left()
        self.weights.settle()
        progress.note(LOAD, "Read the source", self.count, self.count)

    def _orders(self, folder: Path, size: int) -> Iterator[Order]:
        items = self._without_chunks() if self._plan.chunks is None else self._of_chunks()
        for file in write_items(items, folder, size):
            self.files.append(file)
            yield order_to_count(file)

    def _weigh(self, counted: Path) -> None:
        with storing():
            for line in counted.read_bytes().splitlines():
                self.weights.add(orjson.loads(line))
            counted.unlink()

    def _of_chunks(self) -> Iterator[Item]:
        assert self._plan.chunks is not None
        number, before = 0, None
        for chunk in read_chunks(self._ctx, self._plan.chunks, field_of(self._plan.chunks, self._parameters)):
            headings = _headings(chunk)
            begins, before = (chunk["document_id"], headings) != before, (chunk["document_id"], headings)
            text = _encodable(chunk["text"]).strip()
            self._chunks += bool(text)
            found = self._findings.of(_encodable(chunk["chunk_id"])) if self._plan.has_labels else []
            if text and (found or not self._plan.has_labels):
                yield self._item(number, chunk, text, found)._replace(headings=headings, begins_section=begins)
                number += 1

    def _without_chunks(self) -> Iterator[Item]:
        """The extracted texts stand for the chunks."""
        number = 0
        for chunk_id in self._findings.chunk_ids():
            found = self._findings.of(chunk_id)
            texts = dict.fromkeys(finding.text for finding in found if finding.is_text and finding.text)
            for text in texts:
                of_text = [finding for finding in found if finding.text == text or not finding.is_text]
                ids = {"chunk_id": chunk_id, "document_id": found[0].document_id}
                self._chunks += 1
                yield self._item(number, ids, text, of_text)
                number += 1

    def _item(self, number: int, chunk: dict[str, Any], text: str, found: list[Finding]) -> Item:
        labels: dict[tuple[str, ...], float] = {}
        spans = []
        for finding in found:
            category = self._findings.categories[finding.category]
            is_entity = not finding.is_text
            if not category.id.startswith("entity:"):
                labels[category.path] = max(finding.confidence, labels.get(category.path, -1.0))
            if finding.text and finding.text != text and finding.text in text:
                spans.append(Span(category.path, finding.text, is_entity))
        ordered = sorted(labels.items(), key=lambda label: (-label[1], label[0]))
        return Item(
            number,
            _encodable(chunk["chunk_id"]),
            _encodable(chunk["document_id"]),
            text,
            labels=tuple(Label(path, confidence) for path, confidence in ordered),
            spans=tuple(dict.fromkeys(spans)),
        )

    def _load_findings(self, progress: Progress) -> None:
        for total in self._findings.add_all(self._read_findings()):
            progress.note(LOAD, f"Reading {_WHAT[self._plan.kind]}", total, total, (0.25, 0.25))
        wanted = self._parameters.selected_categories
        if wanted is None:
            self._findings.keep(None)
            return
        tops = selected_of(wanted, [*self._named, *self._findings.categories])
        categories = self._findings.categories
        numbers = [number for number, category in enumerate(categories) if category.is_below(tops)]
        if not self._findings.keep(numbers):
            counts = self._left_out
            counts["other"] = counts["read"] - counts["confidence"] - counts["validated"]

    def _read_findings(self) -> Iterator[Finding]:
        if self._plan.extractions is not None:
            yield from self._read_extractions()
        elif self._plan.assignments is not None:
            yield from self._read_assignments()

    def _read_extractions(self) -> Iterator[Finding]:
        source = self._plan.extractions
        assert source is not None
        for line in extractions(self._ctx, source, field_of(source, self._parameters), _problem_of_extraction):
            self._left_out["read"] += 1
            number = self._findings.category(_category(line, "category_path"))
            if line["confidence"] < self._parameters.min_confidence:
                self._left_out["confidence"] += 1
            elif self._parameters.only_validated and line.get("validated") is not True:
                self._left_out["validated"] += 1
            else:
                ids = _encodable(line["chunk_id"]), _encodable(line["document_id"])
                kind, text = line.get("type") or "whole_text", _encodable(line["text"]).strip()
                yield Finding(*ids, number, kind, text, float(line["confidence"]))

    def _read_assignments(self) -> Iterator[Finding]:
        source = self._plan.assignments
        assert source is not None
        # A similarity is no probability, so the default is not meant for it.
        least = self._parameters.min_confidence if "min_confidence" in self._parameters.model_fields_set else -1.0
        for line in assignments(self._ctx, source, field_of(source, self._parameters), _problem_of_assignment):
            self._left_out["read"] += 1
            if not line["path"]:
                continue
            number = self._findings.category(_category(line, "path"))
            if line["similarity"] < least:
                self._left_out["confidence"] += 1
            else:
                yield Finding(_encodable(line["chunk_id"]), "", number, "whole_text", None, float(line["similarity"]))

    def _nothing_left(self) -> PermanentError:
        read, what = self._left_out["read"], _WHAT.get(self._plan.kind, "chunks")
        if self._plan.chunks is not None and not self._chunks:
            return PermanentError(
                "no_chunks", "The source has no chunk with a text, so there is nothing to make of it."
            )
        reasons = {
            "confidence": f"are below min_confidence ({self._parameters.min_confidence:g})",
            "validated": "are not validated, which only_validated asks for",
            "other": "are not in selected_categories",
        }
        told = [f"{self._left_out[key]} {reason}" for key, reason in reasons.items() if self._left_out[key]]
        told = told or ["none of them belongs to a chunk of the source"]
        return PermanentError("no_records", f"No record can be made: of {read} {what} {', and '.join(told)}.")


def _problem_of_extraction(line: dict[str, Any]) -> str | None:
    if not line["category_path"]:
        return "the field 'category_path' has no names"
    return _problem(line, "category_path", ("type", "category_id"))


def _problem_of_assignment(line: dict[str, Any]) -> str | None:
    """Those without a category have no names."""
    return _problem(line, "path", ("category_id",))


def _problem(line: dict[str, Any], path: str, texts: Iterable[str]) -> str | None:
    """`texts`: fields that may be left out."""
    if not all(isinstance(name, str) and name for name in line[path]):
        return f"the field '{path}' must be a list of names"
    wrong = (field for field in texts if not isinstance(line.get(field), str | None))
    return next((f"the field '{field}' must be a text" for field in wrong), None)


def _category(line: dict[str, Any], field: str) -> Category:
    names = tuple(map(_encodable, line[field]))
    return Category(_encodable(line.get("category_id") or "/".join(names)), names)


def _headings(chunk: dict[str, Any]) -> tuple[str, ...]:
    headings = chunk.get("headings")
    if not isinstance(headings, list):
        return ()
    return tuple(_encodable(heading) for heading in headings if isinstance(heading, str) and heading.strip())


def _encodable(text: str) -> str:
    """JSON can hold halves of characters, which no file can."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")

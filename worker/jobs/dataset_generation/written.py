"""Records that a language model writes, one request for each text; what is kept of them rests on the text."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import islice

from worker.jobs.dataset_generation.model import Draft, Item
from worker.jobs.dataset_generation.parameters import Parameters
from worker.jobs.dataset_generation.prompts import messages_for
from worker.jobs.dataset_generation.tasks import Reading
from worker.jobs.dataset_generation.terms import Weights
from worker.jobs.dataset_generation.written_forms import FORMS, Written
from worker.jobs.shared.failures import Failures
from worker.jobs.shared.llm.errors import ItemFailure
from worker.jobs.shared.llm.quotes import find_quote
from worker.jobs.shared.llm.session import Llm

_TEMPLATES = {"question": "own_question", "summarization": "own_summary"}


class LlmGenerator:
    """`note` is told how many items are done, of all. Items that fail give no drafts, and are told to `failures`.

    `drafts` raises what `Llm.map` raises.
    """

    def __init__(
        self, llm: Llm, parameters: Parameters, weights: Weights, failures: Failures, note: Callable[[int], None]
    ) -> None:
        self._llm = llm
        self._parameters = parameters
        self._mode = parameters.generation_mode
        self._weights = weights
        self._failures = failures
        self._note = note
        self._done = 0

    def drafts(self, items: Sequence[Item]) -> list[list[Draft]]:
        outcomes = self._llm.map(items, self._of, lambda done: self._note(self._done + done))
        self._done += len(items)
        found: list[list[Draft]] = []
        for item, outcome in zip(items, outcomes, strict=True):
            if isinstance(outcome, ItemFailure):
                self._failures.add(outcome.as_error("generate", _ids(item)))
            found.append([] if isinstance(outcome, ItemFailure) else outcome)
        return found

    async def _of(self, item: Item) -> list[Draft]:
        most = self._parameters.datasets_per_chunk
        reading = Reading(item, self._weights, random.Random(f"{self._parameters.seed}:{item.chunk_id}"))
        questions = _questions(reading, most) if self._mode == "answer" else []
        if self._mode == "answer" and not questions:
            return []
        messages = messages_for(self._mode, self._parameters.prompt, item, most, questions)
        reply = await self._llm.ask(messages, FORMS[self._mode])
        drafts = (self._draft(reading, questions, each) for each in reply.written)
        return list(islice((draft for draft in drafts if draft is not None), most))

    def _draft(self, reading: Reading, questions: Sequence[str], written: Written) -> Draft | None:
        """None for an answer to a question that nobody asked."""
        asked = written.asked
        if self._mode == "answer":
            if not 1 <= written.number <= len(questions):
                return None
            asked = questions[written.number - 1]
        elif not asked:
            asked = reading.asks(_TEMPLATES[self._mode])
        return Draft(self._mode, asked, reading.text, written.output, _found(written.quotes, reading.text))


def _found(quotes: Sequence[str], text: str) -> tuple[str, ...]:
    """As they stand in the text; none when one of them does not."""
    places = [find_quote(quote, text) for quote in quotes]
    found = [place.text for place in places if place is not None]
    return tuple(found) if len(found) == len(quotes) else ()


def _questions(reading: Reading, most: int) -> list[str]:
    """About the section, the categories and the terms of the text."""
    item = reading.item
    asked = [reading.asks("heading", item.headings[-1])] if item.headings else []
    topics = [*(label.path[-1] for label in item.labels), *(term.text for term in reading.terms)]
    asked += [reading.asks("about_question", topic) for topic in dict.fromkeys(topics)]
    return asked[:most]


def _ids(item: Item) -> dict[str, str]:
    return {"document_id": item.document_id, "chunk_id": item.chunk_id}

"""The second look at what was found: it may take away and never adds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from worker.jobs.extraction.asking import Asking
from worker.jobs.extraction.categories import Category
from worker.jobs.extraction.keywords import Keywords
from worker.jobs.extraction.model import Chunk, Span
from worker.jobs.extraction.parameters import Parameters
from worker.jobs.extraction.prompts import Verdicts, to_judge

# Of confidence, over the runner-up.
MARGIN: Final = 0.5

Found = tuple[Chunk, Sequence[Span]]


class Validation(Protocol):
    def check(self, found: Sequence[Found]) -> list[list[bool | None]]:
        """For each chunk, of each span whether it is confirmed; None when that could not be found out."""
        ...


class OfflineValidation:
    """Does a word of the category occur, or is the category far ahead of those beside it?"""

    def __init__(self, categories: Sequence[Category]) -> None:
        self._keywords = Keywords([category.terms for category in categories], is_fuzzy=False)

    def check(self, found: Sequence[Found]) -> list[list[bool | None]]:
        return [self._of_one(chunk, spans) for chunk, spans in found]

    def _of_one(self, chunk: Chunk, spans: Sequence[Span]) -> list[bool | None]:
        hits = self._keywords.find(chunk.text) if spans else []
        return [
            span.margin >= MARGIN
            or any(hit.category == span.category and span.start <= hit.start and hit.end <= span.end for hit in hits)
            for span in spans
        ]


class LlmValidation:
    """A model is asked yes or no, about all findings of a chunk at once. `check` raises what `Llm.map` raises."""

    def __init__(self, asking: Asking, categories: Sequence[Category], *, with_paths: bool) -> None:
        self._asking = asking
        self._categories = categories
        self._with_paths = with_paths

    def check(self, found: Sequence[Found]) -> list[list[bool | None]]:
        asked = [each for each in found if each[1]]
        verdicts = iter(self._asking.about(asked, lambda each: each[0], self._of_one, "validate", is_second=True))
        told: list[list[bool | None]] = []
        for _, spans in found:
            said = next(verdicts) if spans else []
            told.append([None] * len(spans) if said is None else list(said))
        return told

    async def _of_one(self, found: Found) -> list[bool]:
        """What nothing is said about is not confirmed, nor what is once said to be wrong."""
        chunk, spans = found
        messages = to_judge(chunk, spans, self._categories, with_paths=self._with_paths)
        reply = await self._asking.second.ask(messages, Verdicts)
        right = {verdict.number for verdict in reply.verdicts if verdict.is_right}
        wrong = {verdict.number for verdict in reply.verdicts if not verdict.is_right}
        return [number in right - wrong for number in range(1, len(spans) + 1)]


def validation_of(parameters: Parameters, categories: Sequence[Category], asking: Asking | None) -> Validation | None:
    if not parameters.enable_validation_stage:
        return None
    if asking is None:
        return OfflineValidation(categories)
    return LlmValidation(asking, categories, with_paths=parameters.extraction_mode == "contextual")

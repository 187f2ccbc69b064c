"""Asking the language model about many chunks at a time; those that fail are told and left out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

from worker.context import JobContext
from worker.jobs.extraction.model import Chunk
from worker.jobs.extraction.parameters import VALIDATION_LLM, Parameters
from worker.jobs.extraction.progress import EXTRACT
from worker.jobs.shared.failures import Failures
from worker.jobs.shared.llm.errors import ItemFailure
from worker.jobs.shared.llm.options import FIELD
from worker.jobs.shared.llm.session import Llm, open_llm
from worker.jobs.shared.progress import Progress

T = TypeVar("T")
V = TypeVar("V")


class Asking:
    """`second`: asked whether findings are right, may be the same; `outside_dropped`: how often a reply named a
    category that was not asked for."""

    def __init__(self, llm: Llm, second: Llm, parameters: Parameters, failures: Failures, progress: Progress) -> None:
        self.llm = llm
        self.second = second
        self.failures = failures
        self.outside_dropped = 0
        self._parameters = parameters
        self._progress = progress
        self._chunks_before = 0

    def expect(self, chunks: int) -> None:
        """So many may be asked about. Before the first of them."""
        for llm in (self.llm, self.second):
            llm.most_failures = self._parameters.most_failures(chunks)

    def about(
        self,
        items: Sequence[T],
        chunk_of: Callable[[T], Chunk],
        work: Callable[[T], Awaitable[V]],
        stage: str,
        *,
        is_second: bool = False,
    ) -> list[V | None]:
        """One for each item, in order; None for those that failed. `is_second`: asks `second`, of chunks that were
        asked about before.

        Raises what `Llm.map` raises.
        """
        before = self._chunks_before
        llm = self.second if is_second else self.llm
        outcomes = llm.map(items, work, lambda done: self._note(before if is_second else before + done, stage))
        self._chunks_before += 0 if is_second else len(items)
        found: list[V | None] = []
        for item, outcome in zip(items, outcomes, strict=True):
            if isinstance(outcome, ItemFailure):
                chunk = chunk_of(item)
                ids = {"document_id": chunk.document_id, "chunk_id": chunk.chunk_id}
                self.failures.add(outcome.as_error(stage, ids))
            found.append(None if isinstance(outcome, ItemFailure) else outcome)
        return found

    def raise_if_nothing_came(self) -> None:
        """Raises what `Llm.raise_if_nothing_came` raises."""
        self.llm.raise_if_nothing_came()
        if self.second is not self.llm:
            self.second.raise_if_never_reached()

    def as_result(self) -> dict[str, object]:
        """For `llm` and `validation_llm`, which is None when that is the same."""
        first, second = self._parameters.llm, self._parameters.validation_llm
        assert first is not None
        return {
            FIELD: {**self.llm.usage.as_result(first.model), "outside_dropped": self.outside_dropped},
            VALIDATION_LLM: None if second is None else self.second.usage.as_result(second.model),
        }

    def _note(self, done: int, stage: str) -> None:
        self._progress.note(EXTRACT, "Asking the model" if stage == "extract" else "Asking the model again", done)


@contextmanager
def asking(ctx: JobContext, parameters: Parameters, work: Path, progress: Progress) -> Iterator[Asking | None]:
    """None offline. Raises what `open_llm` raises."""
    if parameters.llm is None:
        yield None
        return
    with ExitStack() as stack:
        llm = stack.enter_context(open_llm(ctx, parameters.llm))
        other = parameters.validation_llm
        second = llm if other is None else stack.enter_context(open_llm(ctx, other, VALIDATION_LLM))
        yield Asking(llm, second, parameters, Failures(work), progress)

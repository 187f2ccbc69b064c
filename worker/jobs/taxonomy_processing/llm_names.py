"""Names and descriptions by a language model, for the categories that were found; those given keep theirs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from worker.context import JobContext
from worker.jobs.shared.failures import Failures
from worker.jobs.shared.llm.errors import BAD_REPLY, ItemError, ItemFailure
from worker.jobs.shared.llm.session import Llm, open_llm
from worker.jobs.shared.progress import Progress
from worker.jobs.shared.taxonomy import Node
from worker.jobs.taxonomy_processing.names import Namer, folded, free_name
from worker.jobs.taxonomy_processing.parameters import Parameters
from worker.jobs.taxonomy_processing.progress import NAME
from worker.jobs.taxonomy_processing.prompts import Named, to_name_all, to_name_one, to_name_otherwise
from worker.jobs.taxonomy_processing.tree import Category

_STAGE: Final = "name"


class _Place(NamedTuple):
    """A category among its siblings. `above`: the names that lead to these."""

    category: Category
    siblings: Sequence[Category]
    number: int
    above: tuple[str, ...]

    @property
    def taken(self) -> list[str]:
        """By siblings that have their names for good."""
        before, after = self.siblings[: self.number], self.siblings[self.number + 1 :]
        return [sibling.name for sibling in (*before, *(other for other in after if other.is_given))]

    @property
    def nameless(self) -> list[Category]:
        return [sibling for sibling in self.siblings[self.number + 1 :] if not sibling.is_given]


class LlmNamer:
    """`count`: how many names were to be written."""

    def __init__(self, llm: Llm, model: str, parameters: Parameters, failures: Failures, progress: Progress) -> None:
        self.failures = failures
        self.count = 0
        self._llm = llm
        self._model = model
        self._parameters = parameters
        self._progress = progress
        self._done = 0

    def name_all(self, root: Category, namer: Namer) -> None:
        """After `namer`, whose names stay where the model gives none.

        Siblings are named one after the other, so that each is told the names before its own; categories below
        different parents side by side. So no name depends on which reply comes first, or on `concurrency`.

        Raises what `Llm.map` and `Llm.raise_if_nothing_came` raise.
        """
        names_root = not root.name and self._parameters.name is None and bool(root.children)
        self.count = sum(not category.is_given for category in root.walk()) + names_root
        if not self.count:
            return
        self._note(0)
        for wave in _waves(root):
            self._name(wave, namer)
        if names_root:
            self._name_root(root)
        self._llm.raise_if_nothing_came()

    def as_result(self) -> dict[str, object]:
        return self._llm.usage.as_result(self._model)

    def _name(self, places: Sequence[_Place], namer: Namer) -> None:
        async def ask(place: _Place) -> Named:
            return await self._ask(place, namer)

        outcomes = self._llm.map(places, ask, self._note)
        self._done += len(places)
        for place, outcome in zip(places, outcomes, strict=True):
            category = place.category
            if isinstance(outcome, ItemFailure):
                category.name = free_name(category.name, category, _folded(place))
                self._fail(outcome, category, (*place.above, category.name))
            else:
                category.name, category.description = outcome.name, outcome.description

    async def _ask(self, place: _Place, namer: Namer) -> Named:
        examples = [chunk.text for chunk in namer.examples(place.category)]
        messages = to_name_one(place.category, place.above, place.taken, place.nameless, examples, self._parameters)
        reply = await self._llm.ask(messages, Named)
        if folded(reply.name) not in _folded(place):
            return reply
        reply = await self._llm.ask(to_name_otherwise(messages, reply, [*place.above, *place.taken]), Named)
        if folded(reply.name) in _folded(place):
            raise ItemError(BAD_REPLY, f"the model was told that a name is taken and gave '{reply.name}', which is too")
        self._llm.usage.repaired += 1
        return reply

    def _name_root(self, root: Category) -> None:
        async def ask(root: Category) -> Named:
            return await self._llm.ask(to_name_all(root, self._parameters), Named)

        (outcome,) = self._llm.map([root], ask, self._note)
        if isinstance(outcome, ItemFailure):
            self._fail(outcome, root, ())
        else:
            root.name, root.description = outcome.name, outcome.description

    def _fail(self, failure: ItemFailure, category: Category, path: tuple[str, ...]) -> None:
        ids = {"category_id": category.id or Node.stable_id(path), "category": "/".join(path)}
        self.failures.add(failure.as_error(_STAGE, ids))

    def _note(self, done: int) -> None:
        done += self._done
        self._progress.note(NAME, f"Naming categories {done}/{self.count}", done, total=self.count)


def _waves(root: Category) -> Iterator[list[_Place]]:
    """The first children of all categories of a level, the second ones, and so on, then those of the next level. Each
    is made when the one before it has its names."""
    level: list[tuple[Category, tuple[str, ...]]] = [(root, ())]
    while level:
        for number in range(max(len(parent.children) for parent, _ in level)):
            families = [(parent.children, above) for parent, above in level if number < len(parent.children)]
            yield [
                _Place(children[number], children, number, above)
                for children, above in families
                if not children[number].is_given
            ]
        level = [(child, (*above, child.name)) for parent, above in level for child in parent.children]


def _folded(place: _Place) -> set[str]:
    """Names that are none for this one; that of a category above it would say too little."""
    return {folded(name) for name in (*place.above, *place.taken)}


@contextmanager
def llm_namer(ctx: JobContext, parameters: Parameters, work: Path, progress: Progress) -> Iterator[LlmNamer | None]:
    """None offline. Raises what `open_llm` raises."""
    if parameters.llm is None:
        yield None
        return
    with open_llm(ctx, parameters.llm) as llm:
        yield LlmNamer(llm, parameters.llm.model, parameters, Failures(work), progress)

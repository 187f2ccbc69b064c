"""What the stages of the job share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from worker.context import JobContext
from worker.jobs.document_processing.artefacts import Artefacts
from worker.jobs.document_processing.crew import Crew, Piece
from worker.jobs.document_processing.errors import DocumentError
from worker.jobs.document_processing.outcome import Outcome
from worker.jobs.document_processing.parameters import Parameters
from worker.jobs.document_processing.progress import Progress
from worker.jobs.document_processing.record import failure
from worker.jobs.shared.files import Record
from worker.jobs.shared.llm.session import Llm


@dataclass(frozen=True, slots=True)
class Job:
    """`llm`: in mode `llm`."""

    ctx: JobContext
    parameters: Parameters
    artefacts: Artefacts
    crew: Crew
    progress: Progress
    llm: Llm | None = None

    def work_off(
        self,
        outcomes: Mapping[int, Outcome],
        pieces: Iterator[Piece],
        done: str,
        *,
        one_by_one: bool = False,
        on_end: Callable[[int], None] = lambda number: None,
    ) -> Iterator[tuple[int, Record]]:
        """Yields (number of the document, its last answer) in the order of the numbers, which count from 1.

        `outcomes` must have each document before its piece comes; `done`: what is told of one that has ended. `on_end`
        is called when it has, before its turn. Raises StorageError and what the job's `check` raises.
        """
        ended: dict[int, Record] = {}
        turn = 1
        for number, message in self.crew.run(pieces, self.ctx.check, one_by_one=one_by_one):
            outcome = outcomes[number]
            if "progress" in message:
                self.progress.note(number, outcome.record["name"], message["stage"], message["progress"])
            elif "facts" in message:
                outcome.record.update(message["facts"])
            else:
                outcome.seconds += message["seconds"]
                ended[number] = message["record"]
                on_end(number)
                self.progress.note(number, outcome.record["name"], done, 1.0)
            while turn in ended:
                yield turn, ended.pop(turn)
                turn += 1

    def fail(self, number: int, outcome: Outcome, error: DocumentError) -> None:
        """`number`: of the document among all of the job, from 1."""
        outcome.record.update(failure(error))
        self.tell_failure(number, outcome)

    def tell_failure(self, number: int, outcome: Outcome) -> None:
        # Neither its name nor the whole error: both may quote parameters.
        code = outcome.record["error"]["code"]
        self.ctx.log.warning("a document failed", extra={"document": number, "error": code})

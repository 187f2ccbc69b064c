"""The language model of a job in mode `llm`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from worker.context import JobContext
from worker.jobs.document_processing.parameters import Parameters
from worker.jobs.shared.libraries import require
from worker.jobs.shared.llm.session import Llm, open_llm


@contextmanager
def opened_model(ctx: JobContext, parameters: Parameters) -> Iterator[Llm | None]:
    """None offline. Raises what `open_llm` raises."""
    if parameters.llm is None:
        yield None
        return
    require(("rapidfuzz",), "pipeline")
    with open_llm(ctx, parameters.llm) as llm:
        yield llm

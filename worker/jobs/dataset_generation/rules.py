"""What making and checking records needs to know of the job's parameters: little enough to be handed to others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from worker.jobs.dataset_generation.modes import SchemaName
from worker.jobs.dataset_generation.parameters import Parameters

# What counts as a duplicate in a measurement when none are taken out.
_USUAL: Final = 0.8


@dataclass(frozen=True, slots=True)
class Rules:
    """`most`: records of one item; `shortest`: of answers, in characters; `threshold`: of likeness, from which on
    records say the same."""

    mode: str
    schema: SchemaName
    seed: int
    most: int
    is_written: bool
    shortest: int
    most_tokens: int | None
    threshold: float

    @classmethod
    def of(cls, parameters: Parameters) -> Rules:
        return cls(
            mode=parameters.generation_mode,
            schema=parameters.schema_used,
            seed=parameters.seed,
            most=parameters.datasets_per_chunk,
            is_written=parameters.mode == "llm",
            shortest=parameters.min_output_chars,
            most_tokens=parameters.max_record_tokens,
            threshold=parameters.dedup_threshold or _USUAL,
        )

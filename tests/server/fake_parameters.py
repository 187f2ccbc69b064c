"""Parameter models as a job type would have them."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    source: str = "a.txt"
    chunk_size: int = Field(100, ge=1, le=10_000)
    folder: Path | None = None
    pair: tuple[int, int] | None = None


class WithInputs(Strict):
    def check_inputs(self, input_root: Path) -> list[tuple[tuple[str | int, ...], str]]:
        return [] if (input_root / self.source).is_file() else [(("source",), f"{self.source} not found")]


NOT_A_MODEL = 1

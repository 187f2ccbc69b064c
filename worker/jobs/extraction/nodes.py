"""A node of a taxonomy as a file or a request gives it."""

from __future__ import annotations

import hashlib
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Keyword(BaseModel):
    model_config = ConfigDict(frozen=True)

    term: Annotated[str, Field(min_length=1, max_length=255)]
    weight: float = Field(1.0, ge=0, allow_inf_nan=False)


class Node(BaseModel):
    """Only `name` is required; what else is in the file is of no use here."""

    model_config = ConfigDict(frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=255)]
    id: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    description: str = ""
    confidence_threshold: float | None = Field(None, ge=0, le=1)
    keywords: tuple[Keyword, ...] = ()
    children: tuple[Node, ...] = ()

    @staticmethod
    def stable_id(path: tuple[str, ...]) -> str:
        """The same for the same names."""
        return hashlib.sha256("\n".join(path).encode()).hexdigest()[:12]

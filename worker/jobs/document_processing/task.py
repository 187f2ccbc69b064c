"""One document's work order, handed from the job to the document process as a small JSON file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class Chunking:
    """`size` and `overlap` are in the unit of the strategy: tokens or characters."""

    strategy: Literal["token", "character"]
    size: int
    overlap: int
    tokenizer: Literal["o200k", "cl100k"]
    min_characters: int


@dataclass(frozen=True, slots=True)
class Limits:
    bytes: int
    pages: int
    characters: int


@dataclass(frozen=True, slots=True)
class Task:
    """`index` counts from 1. Either `path` or `text` is set. `text_file` and `chunks_file` are where results go."""

    index: int
    name: str
    path: str | None
    text: str | None
    input_root: str
    text_file: str
    chunks_file: str
    input_format: str
    encoding: str | None
    strip_boilerplate: bool
    chunking: Chunking
    limits: Limits

    def save(self, file: Path) -> None:
        file.write_text(json.dumps(asdict(self)), "utf-8")

    @classmethod
    def load(cls, file: Path) -> Task:
        values = json.loads(file.read_text("utf-8"))
        values["chunking"] = Chunking(**values["chunking"])
        values["limits"] = Limits(**values["limits"])
        return cls(**values)

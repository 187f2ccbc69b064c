"""One document's work order, handed from the job to the document process as a small JSON file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

from worker.jobs.document_processing.formats import InputFormat, Parser


@dataclass(frozen=True, slots=True)
class Chunking:
    """`size` and `overlap` are in the unit of the strategy: characters for "character", tokens for all others."""

    strategy: Literal["token", "character", "heading"]
    size: int
    overlap: int
    tokenizer: Literal["o200k", "cl100k"]
    min_characters: int
    heading_levels: Sequence[int] = (1, 2, 3)


@dataclass(frozen=True, slots=True)
class Limits:
    bytes: int
    pages: int
    characters: int


@dataclass(frozen=True, slots=True)
class Task:
    """`index` counts from 1. Either `path` or `text` is set. `text_file` and `chunks_file` are where results go.

    The password is never in the file: it takes another way to the document process.
    """

    index: int
    name: str
    path: str | None
    text: str | None
    input_root: str
    text_file: str
    chunks_file: str
    input_format: InputFormat
    parser: Parser
    pages: str | None
    encoding: str | None
    strip_boilerplate: bool
    chunking: Chunking
    limits: Limits
    password: str | None = field(default=None, repr=False)

    def save(self, file: Path) -> None:
        file.write_text(json.dumps(asdict(replace(self, password=None))), "utf-8")

    @classmethod
    def load(cls, file: Path, password: str | None) -> Task:
        values = json.loads(file.read_text("utf-8")) | {"password": password}
        values["chunking"] = Chunking(**values["chunking"])
        values["limits"] = Limits(**values["limits"])
        return cls(**values)

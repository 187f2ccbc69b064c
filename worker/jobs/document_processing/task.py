"""Work orders, handed from the job to the document process as small JSON files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Final, Literal

from worker.jobs.document_processing.formats import InputFormat, Parser

# Another one for every change of what a finished parse holds.
_FORM: Final = 1

Work = Literal["parse", "chunk", "fit"]
Strategy = Literal["token", "character", "delimiter", "schema", "heading", "semantic"]


@dataclass(frozen=True, slots=True)
class Chunking:
    """`size` and `overlap` are in the unit of the strategy: characters for "character", tokens for all others.

    `rules`: pairs of "pattern" or "delimiter" and its value.
    """

    strategy: Strategy
    size: int
    overlap: int
    tokenizer: Literal["o200k", "cl100k"]
    min_characters: int
    heading_levels: Sequence[int] = (1, 2, 3)
    delimiters: Sequence[str] = ("\n\n", "\n")
    rules: Sequence[Sequence[str]] = ()
    combine: Literal["any", "all"] = "any"
    semantic_threshold: float = 1.9


@dataclass(frozen=True, slots=True)
class Limits:
    bytes: int
    pages: int
    characters: int


@dataclass(frozen=True, slots=True)
class Task:
    """How to parse a document. `index` counts from 1. Either `path` or `text` is set. `charset`: what a server names.

    `folder`: of finished parses, where this one may be already; else it is written to `text_file` and `marks_file`
    first. The password is never in the file: it takes another way to the document process.
    """

    index: int
    name: str
    source: dict[str, str]
    path: str | None
    text: str | None
    input_root: str
    folder: str
    text_file: str
    marks_file: str
    input_format: InputFormat
    parser: Parser
    pages: str | None
    encoding: str | None
    strip_boilerplate: bool
    limits: Limits
    charset: str | None = None
    password: str | None = field(default=None, repr=False)

    def save(self, file: Path) -> None:
        file.write_text(json.dumps(asdict(replace(self, password=None))), "utf-8")

    @classmethod
    def load(cls, file: Path, password: str | None) -> Task:
        values = json.loads(file.read_text("utf-8")) | {"password": password}
        values["limits"] = Limits(**values["limits"])
        return cls(**values)

    def key(self, sha256: str) -> str:
        """The same for the same content read in the same way: the name of the finished parse."""
        way = [_FORM, sha256, self.name, self.text is None, self.input_format, self.parser, self.pages, self.encoding]
        way += [self.charset, self.strip_boilerplate, self.limits.pages, self.limits.characters]
        return hashlib.sha256(json.dumps(way).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class ChunkTask:
    """How to cut a text that is parsed. For "semantic": `topics` is the folder of what `FitTask` has learned, or
    `borders` are where a model says that another matter begins."""

    document_id: str
    text_file: str
    marks_file: str
    chunks_file: str
    chunking: Chunking
    topics: str | None = None
    borders: list[int] | None = None

    def save(self, file: Path) -> None:
        file.write_text(json.dumps(asdict(self)), "utf-8")

    @classmethod
    def load(cls, file: Path) -> ChunkTask:
        values = json.loads(file.read_text("utf-8"))
        values["chunking"] = Chunking(**values["chunking"])
        return cls(**values)


@dataclass(frozen=True, slots=True)
class FitTask:
    """Which texts to learn from what their sentences are about, and the folder to write it to."""

    text_files: list[str]
    topics: str
    seed: int

    def save(self, file: Path) -> None:
        file.write_text(json.dumps(asdict(self)), "utf-8")

    @classmethod
    def load(cls, file: Path) -> FitTask:
        return cls(**json.loads(file.read_text("utf-8")))

"""The sources of the samples as blocks: just enough Markdown for headings, paragraphs, lists, tables and code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

_ITEM = re.compile(r"( *)(-|\d+\.) (.*)")
_HEADING = re.compile(r"(#+) (.*)")


@dataclass
class Item:
    """`depth` counts from 0."""

    depth: int
    numbered: bool
    text: str


@dataclass
class Block:
    """`lines` of a table are its rows with cells parted by ` | `, those of code are its lines."""

    kind: Literal["heading", "paragraph", "list", "table", "code"]
    lines: list[str]
    level: int = 0
    items: list[Item] = field(default_factory=list)

    @property
    def rows(self) -> list[list[str]]:
        return [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in self.lines]


def blocks(markdown: str) -> Iterator[Block]:
    for text in markdown.strip().split("\n\n"):
        lines = text.split("\n")
        heading, item = _HEADING.match(text), _ITEM.match(text)
        if heading:
            yield Block("heading", [heading[2]], len(heading[1]))
        elif lines[0] == "```":
            yield Block("code", lines[1:-1])
        elif text.startswith("|"):
            yield Block("table", lines)
        elif item:
            yield Block("list", lines, items=[_item(line) for line in lines])
        else:
            yield Block("paragraph", [text.replace("*", "")])


def _item(line: str) -> Item:
    match = _ITEM.match(line)
    assert match
    return Item(len(match[1]) // 2, match[2] != "-", match[3])

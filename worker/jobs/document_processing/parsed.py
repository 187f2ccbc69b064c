"""What every parser makes of a document: the normal form, and marks in it. All offsets count characters of `text`."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Heading:
    """`start` is where the heading's line begins, `end` where the line after it does; `level` is 1 to 6."""

    start: int
    end: int
    level: int
    title: str


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that did not stop the document but that its owner should know; `count` says how often."""

    code: str
    message: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class Parsed:
    """`text` is NFC with `\\n` line ends. `page_starts` has one offset per page, or is None without pages.

    `pages` is how many of them were read: those that were not asked for are empty.
    """

    text: str
    type: str
    media_type: str
    parser: str
    encoding: str | None = None
    page_starts: list[int] | None = None
    pages: int | None = None
    headings: list[Heading] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)

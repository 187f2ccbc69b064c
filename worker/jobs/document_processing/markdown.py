"""The headings of a Markdown text, with their exact places: `#` lines and underlined ones, outside of code."""

from __future__ import annotations

import re

from worker.jobs.document_processing.parsed import Heading

_ATX = re.compile(r" {0,3}(#{1,6})(?=[ \t]|$)")
_FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})")
_UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*")
# Lines that begin something else than a paragraph: an underline below them is a rule.
_NO_PARAGRAPH = re.compile(r" {4,}|\t| {0,3}(?:>|\||[-+*][ \t]|\d{1,9}[.)][ \t]|<)")
_FRONT_MATTER = re.compile(r"---[ \t]*\n(?=\w[^\n:]*:)(?:.*\n)*?(?:---|\.\.\.)[ \t]*(?:\n|$)")


def find_headings(text: str) -> list[Heading]:
    """In order of appearance; headings without words are left out."""
    scanner = _Scanner()
    front = _FRONT_MATTER.match(text)
    offset = front.end() if front else 0
    for line in text[offset:].split("\n"):
        scanner.feed(line, offset)
        offset += len(line) + 1
    return scanner.found


class _Scanner:
    def __init__(self) -> None:
        self.found: list[Heading] = []
        self._fence = ""
        self._paragraph: list[str] = []
        self._paragraph_start = 0

    def feed(self, line: str, offset: int) -> None:
        if self._in_code(line):
            self._paragraph.clear()
        elif match := _ATX.match(line):
            self._paragraph.clear()
            self._add(offset, len(match[1]), _without_closing(line[match.end() :].strip()))
        elif self._paragraph and (match := _UNDERLINE.fullmatch(line)):
            self._add(self._paragraph_start, 1 if match[1][0] == "=" else 2, " ".join(self._paragraph))
            self._paragraph.clear()
        else:
            self._feed_text(line, offset)

    def _in_code(self, line: str) -> bool:
        match = _FENCE.match(line)
        if self._fence:
            if match and match[1].startswith(self._fence) and not line[match.end() :].strip():
                self._fence = ""
            return True
        self._fence = match[1] if match else ""
        return bool(match)

    def _feed_text(self, line: str, offset: int) -> None:
        if not line.strip() or (not self._paragraph and _NO_PARAGRAPH.match(line)):
            self._paragraph.clear()
            return
        if not self._paragraph:
            self._paragraph_start = offset
        self._paragraph.append(line.strip())

    def _add(self, start: int, level: int, title: str) -> None:
        if title:
            self.found.append(Heading(start, level, title))


def _without_closing(title: str) -> str:
    """`Title ##` is `Title`, but `C#` stays."""
    bare = title.rstrip("#")
    return bare.rstrip() if not bare or bare[-1] in " \t" else title

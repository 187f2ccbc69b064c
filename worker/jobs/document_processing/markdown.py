"""The headings of a Markdown text, with their exact places: `#` lines and underlined ones, outside of code."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import accumulate

from cmarkgfm import markdown_to_html
from cmarkgfm.cmark import Options

from worker.jobs.document_processing.parsed import Heading

_FRONT_MATTER = re.compile(r"---[ \t]*\n(?=\w[^\n:]*:)(?:.*\n)*?(?:---|\.\.\.)[ \t]*(?:\n|$)")
# In the HTML, which has no tags but the converter's own: level and lines of a heading, and what encloses others.
_TAG = re.compile(r'<(?:h([1-6]) data-sourcepos="(\d+):\d+-(\d+):|(/?)(?:ul|ol|blockquote)\b)')
_HASHES = re.compile(r" {0,3}#{1,6}(?:[ \t]+(.*?))??(?:[ \t]+#+)?[ \t]*")
# For the converter an underlined heading begins with the definitions of links that stand before it.
_DEFINITION = re.compile(r""" {0,3}\[[^\]]+\]:[ \t]*\S+(?:[ \t]+(?:"[^"]*"|'[^']*'|\([^)]*\)))?[ \t]*""")
_UNDERLINE = re.compile(r" {0,3}(?:=+|-+)[ \t]*")


def find_headings(text: str) -> list[Heading]:
    """In order of appearance; those without words, and those inside of lists and quotations, are left out."""
    front = _FRONT_MATTER.match(text)
    body = front.end() if front else 0
    lines = text[body:].split("\n")
    starts = list(accumulate((len(line) + 1 for line in lines), initial=body))
    found = []
    for level, first, last in _places(text[body:]):
        start, end, title = _span(lines, first, last)
        if title:
            found.append(Heading(starts[start], min(starts[end], len(text)), level, title))
    return found


def _places(markdown: str) -> Iterator[tuple[int, int, int]]:
    """(level, number of the first line, number of the last one or the next) of each heading that nothing encloses.
    Lines count from 0."""
    enclosed = 0
    # The converter shows the source of no HTML in the text.
    for tag in _TAG.finditer(markdown_to_html(markdown, options=Options.CMARK_OPT_SOURCEPOS)):
        if tag[1] is None:
            enclosed += -1 if tag[4] else 1
        elif not enclosed:
            yield int(tag[1]), int(tag[2]) - 1, int(tag[3]) - 1


def _span(lines: Sequence[str], first: int, last: int) -> tuple[int, int, str]:
    """The heading's first line, the line after it, and its words."""
    hashes = _HASHES.fullmatch(lines[first])
    if hashes:
        return first, first + 1, " ".join((hashes[1] or "").split())
    # It is over where the next line begins, if there is one.
    underline = last - 1 if last - 1 > first and _UNDERLINE.fullmatch(lines[last - 1]) else last
    while first < underline - 1 and _DEFINITION.fullmatch(lines[first]):
        first += 1
    return first, underline + 1, " ".join(" ".join(lines[first:underline]).split())

"""The headings of a Markdown text, with their exact places: `#` lines and underlined ones, outside of code."""

from __future__ import annotations

import re
from itertools import accumulate, pairwise

from markdown_it import MarkdownIt

from worker.jobs.document_processing.parsed import Heading

_FRONT_MATTER = re.compile(r"---[ \t]*\n(?=\w[^\n:]*:)(?:.*\n)*?(?:---|\.\.\.)[ \t]*(?:\n|$)")


def find_headings(text: str) -> list[Heading]:
    """In order of appearance; those without words, and those inside of lists and quotations, are left out."""
    front = _FRONT_MATTER.match(text)
    body = front.end() if front else 0
    starts = list(accumulate((len(line) + 1 for line in text[body:].split("\n")), initial=body))
    tokens = MarkdownIt("commonmark").disable("inline").parse(text[body:])
    found = []
    for opening, content in pairwise(tokens):
        title = " ".join(content.content.split())
        if opening.type == "heading_open" and opening.level == 0 and opening.map and title:
            first, after = opening.map
            found.append(Heading(starts[first], min(starts[after], len(text)), int(opening.tag[1:]), title))
    return found

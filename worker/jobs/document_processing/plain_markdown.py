"""Markdown as people read it: links are their words, and marks that stand for themselves need no backslash.

For the document process only.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import replace
from typing import Final

from worker.jobs.document_processing.markdown import find_headings
from worker.jobs.document_processing.parsed import Heading

_LINK: Final = re.compile(r"!?\[([^\[\]\n]*)\]\((?:https?:|mailto:|ftp:|tel:|file:|#)[^()\s]*\)")
# In a table the bar needs it.
_ESCAPED: Final = re.compile(r"\\([!-/:-@\[-`{}~])")
_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f\ufffe\uffff]")


def plain_markdown(text: str) -> tuple[str, list[Heading]]:
    """The text, and its headings with their places in it. They are found before: "\\# 1" is none."""
    text = _LINK.sub(r"\1", text)
    headings = find_headings(text)
    places = [match.start() for match in _ESCAPED.finditer(text)]

    def moved(place: int) -> int:
        return place - bisect_left(places, place)

    plain = [
        replace(head, start=moved(head.start), end=moved(head.end), title=_ESCAPED.sub(r"\1", head.title))
        for head in headings
    ]
    return _ESCAPED.sub(r"\1", text), plain


def without_controls(text: str) -> str:
    return _CONTROL.sub("", text)

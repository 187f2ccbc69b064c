"""Lines that many documents of one job repeat, such as navigation and licences. They are left out before any chunk.

Headings, code and tables stay: a structure that documents share says something in each of them. So do a few words that
end a paragraph in many documents by chance, such as "said." where lines are broken.
"""

from __future__ import annotations

import hashlib
import re
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Final

from worker.jobs.document_processing.marks import Marks

FEWEST_DOCUMENTS: Final = 5
_LEAST: Final = 3
_SHARE: Final = 0.3
_GROUP: Final = 10
_MOST_LINES: Final = 100_000
# Shorter ones are marks of lists, ends of blocks and the like.
_LETTERS: Final = re.compile(r"(?:[^\W\d_][\W\d_]*){3}")
_FENCE: Final = re.compile(r"\s{0,3}(?:```|~~~)")
_PLAIN: Final = ("pdf", "text")

_MANY_WORDS: Final = 4

Span = tuple[int, int]
Line = tuple[int, int, int]


def lines_of(text: str, marks: Marks) -> Iterator[Line]:
    """(start, end, form) of each line that may be left out; equal forms are equal lines but for blanks and case."""
    headings = [place for heading in marks.headings for place in (heading.start, heading.end)]
    code = False
    start = 0
    for line in text.split("\n"):
        end = min(start + len(line) + 1, len(text))
        if _FENCE.match(line):
            code = not code
        elif not code and bisect_right(headings, start) % 2 == 0 and _may_go(line, marks.type):
            yield start, end, _form(line)
        start = end


def forms_of(text: str, marks: Marks) -> array[int]:
    """The different forms of a document, of very many the first."""
    forms: set[int] = set()
    for _, _, form in lines_of(text, marks):
        forms.add(form)
        if len(forms) >= _MOST_LINES:
            break
    return array("Q", sorted(forms))


def repeated(files: Sequence[Path]) -> set[int]:
    """The forms that are in more than 30 % of the documents, and in three at least; `files` holds those of each."""
    groups = [files[first : first + _GROUP] for first in range(0, len(files), _GROUP)]
    # What is in more than this share of all is so in one group at least, which keeps the counts small.
    candidates = {form for group in groups for form, count in _count(group).items() if count > _SHARE * len(group)}
    counts: Counter[int] = Counter()
    for file in files:
        counts.update(candidates.intersection(_load(file)))
    return {form for form, count in counts.items() if count > _SHARE * len(files) and count >= _LEAST}


def without(text: str, marks: Marks, forms: set[int]) -> tuple[str, Marks, int]:
    """The text without these lines, its marks, and how many lines that were.

    Where more than half of the text would go, the document is a copy of others and stays as it is: 0 lines.
    """
    gone = list(_to_leave_out(text, marks, forms))
    if not gone or 2 * sum(end - start for start, end in gone) > len(text):
        return text, marks, 0
    starts = [start for start, _ in gone]
    lengths = list(accumulate((end - start for start, end in gone), initial=0))

    def place(offset: int) -> int:
        passed = bisect_right(starts, offset)
        inside = max(0, gone[passed - 1][1] - offset) if passed else 0
        return offset - lengths[passed] + inside

    borders = [0, *(border for line in gone for border in line), len(text)]
    kept = "".join(text[low:high] for low, high in zip(borders[::2], borders[1::2], strict=True))
    return kept, marks.moved(place), len(gone)


def _to_leave_out(text: str, marks: Marks, forms: set[int]) -> Iterator[Span]:
    heads = {place for heading in marks.headings for place in (heading.start, heading.end)}
    run: list[Span] = []
    for start, end, form in lines_of(text, marks):
        if run and (start != run[-1][1] or form not in forms):
            yield from _of_run(text, heads, run)
            run = []
        if form in forms:
            run.append((start, end))
    yield from _of_run(text, heads, run)


def _of_run(text: str, heads: set[int], run: list[Span]) -> Iterator[Span]:
    """Of lines one below the other all when they stand alone, else only those of many words, which are no chance."""
    if not run:
        return
    start, end = run[0][0], run[-1][1]
    above = text[text.rfind("\n", 0, max(start - 1, 0)) + 1 : start]
    below = text[end : text.find("\n", end) + 1 or len(text)]
    alone = (not above.strip() or start in heads) and (not below.strip() or end in heads)
    for low, high in run:
        if alone or len(text[low:high].split()) >= _MANY_WORDS:
            yield low, high


def save(forms: array[int], file: Path) -> None:
    file.write_bytes(forms.tobytes())


def _load(file: Path) -> array[int]:
    forms = array("Q")
    forms.frombytes(file.read_bytes())
    return forms


def _count(files: Sequence[Path]) -> Counter[int]:
    counts: Counter[int] = Counter()
    for file in files:
        counts.update(_load(file))
    return counts


def _may_go(line: str, kind: str) -> bool:
    if not line or line.isspace():
        return False
    if kind not in _PLAIN and line.startswith(("|", "    ", "\t")):
        return False
    return _LETTERS.search(line) is not None


def _form(line: str) -> int:
    words = " ".join(line.split()).casefold()
    return int.from_bytes(hashlib.blake2b(words.encode(), digest_size=8).digest(), "little")

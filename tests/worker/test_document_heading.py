"""document_processing: the strategy `heading` cuts where sections begin."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.jobs.document_processing.chunk import Chunk, chunk
from worker.jobs.document_processing.decode import normalise
from worker.jobs.document_processing.markdown import find_headings
from worker.jobs.document_processing.parsed import Parsed
from worker.jobs.document_processing.task import Chunking

WORDS = "Pumps lift the water to the tower, and a valve is closed slowly at night. "


def cut(
    text: str, levels: tuple[int, ...] = (1, 2, 3), size: int = 64, overlap: int = 6, shortest: int = 40
) -> list[Chunk]:
    parsed = Parsed(text, "markdown", "text/markdown", parser="text", headings=find_headings(text))
    return chunk(parsed, Chunking("heading", size, overlap, "o200k", shortest, levels))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("# One ##\n\nTwo\nlines\n---\ntext", [(1, "One"), (2, "Two lines")]),
        ("One\n===\n===\n", [(1, "One")]),
        ("a\n===", [(1, "a")]),
        ("- x\n  # in a list\n\n> # quoted\n\n```\n# code\n```\n\n# out", [(1, "out")]),
        ("#\n\n# #\n\n## ", []),
        # Definitions of links, and what only looks like them.
        ("[a]: /u 'x'\nTitle\n---\n", [(2, "Title")]),
        ("[a]: x)\n===\n\ntext\n", [(1, "[a]: x)")]),
        ("[ ]: x\n===\n", [(1, "[ ]: x")]),
        ("[Note]: see(1))\n---\n\nbody\n\nReal\n---\nmore\n", [(2, "[Note]: see(1))"), (2, "Real")]),
    ],
)
def test_headings(text: str, found: list[tuple[int, str]]) -> None:
    headings = find_headings(text)
    assert [(heading.level, heading.title) for heading in headings] == found
    assert all(text[heading.start : heading.end].strip() for heading in headings)


LINES = (
    "# a",
    "b",
    "===",
    "---",
    "- x",
    "    c",
    "> q",
    "```",
    "<b>",
    "<!--",
    "",
    "[a]: /u",
    "[a]:",
    "\t# t",
    "é # ü #",
    "-",
    "=",
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(LINES), max_size=10))
def test_headings_of_any_text_follow_one_another(lines: list[str]) -> None:
    text = "\n".join(lines)
    headings = find_headings(text)
    assert all(first.end <= second.start for first, second in pairwise(headings))
    assert all(0 <= heading.start < heading.end <= len(text) and heading.title for heading in headings)


def begins(text: str, pieces: list[Chunk]) -> list[str]:
    return [text[piece.start :].split("\n")[0] for piece in pieces]


GUIDE = f"""Before any heading. {WORDS}

# One

{WORDS}

## Two

{WORDS * 8}

### Three

{WORDS}

#### Four

{WORDS}

# Five

{WORDS}

```
# no heading, but a comment in code that is long enough to stand alone
```
"""


def test_sections_begin_chunks_and_chunks_know_their_path() -> None:
    pieces = cut(GUIDE)
    heads = [
        (head, piece.headings) for head, piece in zip(begins(GUIDE, pieces), pieces, strict=True) if head[0] == "#"
    ]
    assert heads == [
        ("# One", ["One"]),
        ("## Two", ["One", "Two"]),
        ("### Three", ["One", "Two", "Three"]),
        ("# Five", ["Five"]),
    ]
    assert pieces[0].headings == []
    # A section that is larger than a chunk is cut, with overlap inside of it only.
    two = [piece for piece in pieces if piece.headings == ["One", "Two"]]
    assert len(two) >= 3
    assert all(second.start < first.end for first, second in pairwise(two))
    assert two[0].start == GUIDE.index("## Two")


@pytest.mark.parametrize(
    ("levels", "heads"),
    [((1,), ["# One", "# Five"]), ((4,), ["#### Four"]), ((1, 4), ["# One", "#### Four", "# Five"])],
)
def test_heading_levels(levels: tuple[int, ...], heads: list[str]) -> None:
    assert [head for head in begins(GUIDE, cut(GUIDE, levels, size=2000)) if head[0] == "#"] == heads


def test_headings_without_text_are_joined_to_what_follows() -> None:
    text = f"# Part\n\n## Chapter\n\n### Section\n\n{WORDS}\n\n# Next\n\n{WORDS}"
    pieces = cut(text)
    assert begins(text, pieces) == ["# Part", "# Next"]
    assert pieces[0].headings == ["Part", "Chapter", "Section"]


def test_short_end_is_joined_to_what_stands_before() -> None:
    text = f"# One\n\n{WORDS}\n\n# Two\n\nEnd."
    (piece,) = cut(text)
    assert text[piece.start : piece.end] == text
    assert piece.headings == ["One"]


def test_short_piece_that_fits_nowhere_is_kept() -> None:
    text = f"# A\n\n{WORDS * 3}\n\n# B\n\nshort\n\n# C\n\n{WORDS * 3}"
    # The smallest size into which the first section goes has no room for a second one.
    fitting = (cut(text, size=size, overlap=0) for size in range(30, 80))
    pieces = next(pieces for pieces in fitting if pieces[1].headings == ["B"])
    assert [text[piece.start : piece.end] for piece in pieces][1:] == [
        "# B\n\nshort",
        text[text.index("# C") :].strip(),
    ]


def test_no_headings_is_one_section() -> None:
    text = WORDS * 20
    parsed = Parsed(text, "text", "text/plain", parser="text")
    by_heading, by_token = (
        chunk(parsed, Chunking(strategy, 64, 6, "o200k", 40))
        for strategy in ("heading", "token")  # type: ignore[arg-type]
    )
    assert by_heading == by_token


PIECES = st.sampled_from(
    ["\n# A\n", "\n## B\n\n", "\n### C\n", "\n```\n# code\n```\n", WORDS, WORDS * 6, "x", "\n\n", "e\u0301 "]
)


@settings(max_examples=100, deadline=None)
@given(st.lists(PIECES, max_size=30).map("".join).map(normalise), st.integers(16, 100), st.integers(0, 15))
def test_every_character_is_covered_in_order(text: str, size: int, overlap: int) -> None:
    pieces = cut(text, size=size, overlap=overlap)
    covered = {place for piece in pieces for place in range(piece.start, piece.end)}
    assert all(place in covered or character.isspace() for place, character in enumerate(text))
    assert all(first.start < second.start and first.end < second.end for first, second in pairwise(pieces))
    starts = [heading.start for heading in find_headings(text)]
    for piece in pieces:
        # No chunk but one with a short beginning or end reaches over the beginning of a section.
        borders = [start for start in starts if piece.start < start < piece.end]
        parts = [text[low:high].strip() for low, high in pairwise([piece.start, *borders, piece.end])]
        assert len(parts) == 1 or min(map(len, parts)) < 40

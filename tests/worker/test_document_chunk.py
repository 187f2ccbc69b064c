"""document_processing: what holds for chunks, whatever the text is."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from semantic_text_splitter import TextSplitter

from worker.jobs.document_processing import chunk as chunk_module
from worker.jobs.document_processing import measure
from worker.jobs.document_processing.chunk import Chunk, chunk
from worker.jobs.document_processing.decode import normalise
from worker.jobs.document_processing.errors import DocumentError
from worker.jobs.document_processing.markdown import find_headings
from worker.jobs.document_processing.parsed import Parsed
from worker.jobs.document_processing.task import Chunking

MODELS = {"o200k": "gpt-4o", "cl100k": "gpt-4"}
PIECES = [
    "water ",
    "Sentence one. ",
    "\r\n",
    "\n\n",
    "\n# Head\n",
    "\n## Lower\n\n",
    "\n- item\n",
    "\n```\ncode\n```\n",
    "👩‍👩‍👧‍👦",
    "🏴󠁧󠁢󠁷󠁬󠁳󠁿 ",
    "水道の水は毎日検査されます。",
    "e\u0301a\u0308\u0323",
    "\u0301",
    "हिन्दी ",
    "ข้อความ",
    "x" * 40,
    "|a|b|\n|-|-|\n|1|2|\n",
    "\t",
    " " * 9,
    "\u2028",
    "\u00a0",
    "\x1c",
]
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=12), max_size=60).map("".join).map(normalise)


def make(strategy: str, size: int, overlap: int, shortest: int = 40, tokenizer: str = "o200k") -> Chunking:
    return Chunking(strategy, size, overlap, tokenizer, shortest)  # type: ignore[arg-type]


def parsed_of(text: str, kind: str) -> Parsed:
    headings = find_headings(text) if kind == "markdown" else []
    return Parsed(text, kind, "text/plain", parser="text", headings=headings)


def tokens(text: str, tokenizer: str = "o200k") -> int:
    """The smallest size into which the text goes as one piece, which is its number of tokens."""
    low, high = 1, max(1, len(text.encode()))
    while low < high:
        middle = (low + high) // 2
        one = len(TextSplitter.from_tiktoken_model(MODELS[tokenizer], middle, trim=False).chunks(text)) <= 1
        low, high = (low, middle) if one else (middle + 1, high)
    return low


def check(text: str, pieces: list[Chunk]) -> None:
    covered = set()
    for piece in pieces:
        assert text[piece.start : piece.end].strip()
        covered.update(range(piece.start, piece.end))
    assert all(place in covered or character.isspace() for place, character in enumerate(text))
    assert [piece.index for piece in pieces] == list(range(len(pieces)))
    for first, second in pairwise(pieces):
        assert first.start < second.start
        assert first.end < second.end


def check_headings(parsed: Parsed, pieces: list[Chunk]) -> None:
    for piece in pieces:
        path: list[tuple[int, str]] = []
        words = piece.start
        for heading in parsed.headings:
            if heading.start <= words:
                # Headings right below the one with which a chunk begins are part of the path.
                if heading.end < piece.end:
                    words = max(words, len(parsed.text) - len(parsed.text[heading.end :].lstrip()))
                path = [outer for outer in path if outer[0] < heading.level] + [(heading.level, heading.title)]
        assert piece.headings == [title for _, title in path]


@st.composite
def chunkings(draw: st.DrawFn, strategy: str) -> Chunking:
    size = draw(st.integers(16, 120))
    overlap = draw(st.one_of(st.integers(0, size // 3), st.integers(0, size - 1)))
    return make(strategy, size, overlap, draw(st.sampled_from([0, 10, 40])), draw(st.sampled_from(sorted(MODELS))))


@settings(max_examples=150, deadline=None)
@given(TEXTS, st.sampled_from(["text", "markdown"]), chunkings("character"))
def test_characters(text: str, kind: str, chunking: Chunking) -> None:
    parsed = parsed_of(text, kind)
    pieces = chunk(parsed, chunking)
    check(text, pieces)
    check_headings(parsed, pieces)
    assert all(piece.end - piece.start <= chunking.size for piece in pieces)
    assert all(first.end - second.start <= chunking.overlap for first, second in pairwise(pieces))


@settings(max_examples=80, deadline=None)
@given(TEXTS, st.sampled_from(["text", "markdown"]), chunkings("token"))
def test_tokens(text: str, kind: str, chunking: Chunking) -> None:
    parsed = parsed_of(text, kind)
    pieces = chunk(parsed, chunking)
    check(text, pieces)
    check_headings(parsed, pieces)
    assert all(tokens(text[piece.start : piece.end], chunking.tokenizer) <= chunking.size for piece in pieces)
    for first, second in pairwise(pieces):
        assert second.start >= first.end or (
            tokens(text[second.start : first.end], chunking.tokenizer) <= max(chunking.overlap, 1)
        )


def test_tokens_are_those_of_the_vocabulary() -> None:
    assert tokens("hello world") == 2
    assert tokens("tiktoken is great!", "cl100k") == 6
    assert tokens("antidisestablishmentarianism", "cl100k") == 6
    # A token that only the newer vocabulary has as one.
    assert tokens("水道の水は毎日検査されます。") < tokens("水道の水は毎日検査されます。", "cl100k")


PROSE = " ".join(
    f"Pump number {n} lifts water to the tower, and its valve is closed slowly at night." for n in range(200)
)


@pytest.mark.parametrize(
    ("strategy", "size", "overlap"), [("token", 128, 13), ("character", 500, 50), ("token", 64, 40)]
)
def test_overlap_is_as_asked(strategy: str, size: int, overlap: int) -> None:
    """Not only at most: as much as whole words allow."""
    pieces = chunk(parsed_of(PROSE, "text"), make(strategy, size, overlap))
    for first, second in pairwise(pieces):
        shared, whole = (
            len(text) if strategy == "character" else tokens(text)
            for text in (PROSE[second.start : first.end], PROSE[first.start : first.end])
        )
        # The first chunks may be shorter than the overlap: nothing stands before them.
        assert min(overlap, whole) * 0.7 - 3 <= shared <= overlap


def test_overlap_in_writing_without_blanks() -> None:
    text = "水道の水は毎日検査されます。" * 100
    pieces = chunk(parsed_of(text, "text"), make("character", 100, 20))
    assert {first.end - second.start for first, second in pairwise(pieces)} == {20}


def test_overlap_does_not_reach_over_a_heading() -> None:
    text = "# One\n\n" + "Words about pumps. " * 20 + "\n\n# Two\n\n" + "Words about sand. " * 20
    pieces = chunk(parsed_of(text, "markdown"), make("character", 200, 50))
    second = text.index("# Two")
    assert second in {piece.start for piece in pieces}
    assert all(piece.headings == (["Two"] if piece.start >= second else ["One"]) for piece in pieces)
    assert sum(first.end > later.start for first, later in pairwise(pieces)) >= 4


@pytest.mark.parametrize("character", ["👩‍👩‍👧‍👦", "🏴󠁧󠁢󠁷󠁬󠁳󠁿", "👍🏽", "हि", "x\u0323\u0301"])
def test_long_words_are_cut_between_characters(character: str) -> None:
    text = normalise(character) * 60
    pieces = chunk(parsed_of(text, "text"), make("character", 41, 19))
    assert {text[piece.start] for piece in pieces} == {character[0]}


def test_nothing_is_too_short_where_it_can_be_joined() -> None:
    for length in range(100, 1200, 7):
        text = ("Water flows down. " * 80)[:length].strip()
        for overlap in (0, 20):
            pieces = chunk(parsed_of(text, "text"), make("character", 200, overlap))
            assert len(pieces) == 1 or all(piece.end - piece.start >= 40 for piece in pieces)


def test_short_lines_are_joined_and_not_dropped() -> None:
    text = "\n\n\n".join(["# A", "b", "## C", "d", "x" * 190, "y", "z" * 195])
    pieces = chunk(parsed_of(text, "markdown"), make("character", 200, 0))
    check(text, pieces)
    assert len(pieces) <= 4


@pytest.mark.parametrize("kind", ["text", "markdown"])
@pytest.mark.parametrize(
    "text",
    [
        "word" + " " * 1_000_000 + "word",
        "a" + "\n" * 300_000 + "b" + "\n" * 1500 + "c d",
        "x" * 70_000 + " y",
        "水" * 45_000,
        "a\u0300\u0301\u0302" * 8_000,
    ],
    ids=["spaces", "lines", "letters", "writing without blanks", "marks"],
)
def test_very_long_runs_are_no_trouble(text: str, kind: str) -> None:
    parsed = parsed_of(normalise(text), kind)
    for chunking in (make("token", 512, 50), make("character", 2000, 200)):
        pieces = chunk(parsed, chunking)
        check(parsed.text, pieces)


SHAPES = {
    "one line": "Some words of prose here. ",
    "no sentences": "words and words ",
    "lines": "a line of words\n",
    "paragraphs": "A short paragraph.\n\n",
    "other blanks": "words\u00a0and\u3000words\t",
    "long words": "x" * 19_990 + " ",
    "no blanks": "水道の水",
}


@pytest.mark.parametrize("shape", list(SHAPES))
def test_splitter_gets_parts_of_bounded_size(shape: str) -> None:
    """Its time grows with the square of what it gets."""
    text = SHAPES[shape] * (1_100_000 // len(SHAPES[shape]))
    parts = list(measure._parts(text))
    assert "".join(text[start:end] for start, end in parts) == text
    assert len(parts) >= 5 and all(0 < end - start <= 200_020 for start, end in parts)
    if shape not in ("other blanks", "no blanks"):
        assert all(text[end - 1].isspace() for _, end in parts[:-1]) or shape == "long words"


def test_parts_end_where_the_text_does_if_they_can() -> None:
    text = ("One sentence and\nits second line. " * 3 + "\n\n") * 4000
    parts = list(measure._parts(text))
    assert len(parts) == 3 and all(text[:end].endswith("\n\n") for _, end in parts)


def test_long_line_is_cut_like_any_other_text() -> None:
    text = " ".join(f"Sentence number {n} has a few words." for n in range(12_000))
    for chunking in (make("token", 512, 50), make("character", 2000, 200)):
        check(text, chunk(parsed_of(text, "text"), chunking))


def test_one_short_text_is_one_chunk() -> None:
    assert [(piece.start, piece.end) for piece in chunk(parsed_of("\n hi \n", "text"), make("token", 16, 1))] == [
        (2, 4)
    ]


def test_pages() -> None:
    parsed = Parsed("aa\n\nbb\n\ncc\n\n", "pdf", "application/pdf", parser="pdfium", page_starts=[0, 0, 4, 8, 12])
    (piece,) = chunk(parsed, make("character", 100, 0))
    assert (piece.page_start, piece.page_end) == (2, 4)


def test_too_many_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunk_module, "MAX_CHUNKS", 10)
    with pytest.raises(DocumentError) as caught:
        chunk(parsed_of(PROSE, "text"), make("token", 16, 15))
    assert caught.value.code == "too_many_chunks"

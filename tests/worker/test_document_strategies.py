"""document_processing: the strategies that begin chunks at borders of their own: delimiter, schema and semantic."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from samples import document_support as support

from worker.context import PermanentError
from worker.jobs.document_processing import borders, chunk_document
from worker.jobs.document_processing.chunk import Chunk, chunk
from worker.jobs.document_processing.decode import normalise
from worker.jobs.document_processing.errors import DocumentError
from worker.jobs.document_processing.markdown import find_headings
from worker.jobs.document_processing.marks import Marks
from worker.jobs.document_processing.measure import Measure
from worker.jobs.document_processing.parameters import Parameters
from worker.jobs.document_processing.parsed import Parsed
from worker.jobs.document_processing.run import run
from worker.jobs.document_processing.task import Chunking, ChunkTask
from worker.jobs.document_processing.topics import Topics
from worker.jobs.shared import libraries

PIECES = [
    "water ",
    "One. ",
    "\n\n",
    "\n",
    "\n# Head\n",
    "---",
    "§ 1 ",
    "水道の水。",
    "👩‍👩‍👧‍👦",
    "e\u0301",
    "x" * 40,
    "\t",
    " " * 9,
    ";",
]
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=8), max_size=60).map("".join).map(normalise)
RULES = [("pattern", r"^§ \d"), ("delimiter", "---"), ("pattern", r"(?=One)"), ("delimiter", "\n")]


def parsed_of(text: str, kind: str = "text") -> Parsed:
    return Parsed(text, kind, "", "", headings=find_headings(text) if kind == "markdown" else [])


def make(strategy: str, size: int = 64, overlap: int = 0, shortest: int = 0, **values: Any) -> Chunking:
    return Chunking(strategy, size, overlap, "o200k", shortest, **values)  # type: ignore[arg-type]


def texts_of(text: str, chunking: Chunking, kind: str = "text", learned: Topics | None = None) -> list[str]:
    return [text[piece.start : piece.end] for piece in chunk(parsed_of(text, kind), chunking, learned)]


def check(text: str, pieces: list[Chunk], chunking: Chunking) -> None:
    measure = Measure(chunking, markdown=False)
    covered = set()
    for piece in pieces:
        assert text[piece.start : piece.end].strip() and measure.fits(text[piece.start : piece.end])
        covered.update(range(piece.start, piece.end))
    assert all(place in covered or character.isspace() for place, character in enumerate(text))
    for first, second in pairwise(pieces):
        assert first.start < second.start and first.end < second.end
        assert second.start >= first.end or measure.fits_overlap(text[second.start : first.end])


@settings(max_examples=80, deadline=None)
@given(TEXTS, st.sampled_from(["text", "markdown"]), st.data())
def test_what_holds_for_all_chunks(text: str, kind: str, data: st.DataObject) -> None:
    size = data.draw(st.integers(16, 80))
    chunking = make(
        data.draw(st.sampled_from(["delimiter", "schema", "semantic"])),
        size,
        data.draw(st.integers(0, size * 9 // 10)),
        data.draw(st.sampled_from([0, 10, 40])),
        delimiters=data.draw(st.lists(st.sampled_from(["\n\n", "\n", ";", "---"]), min_size=1, max_size=3)),
        rules=data.draw(st.lists(st.sampled_from(RULES), min_size=1, max_size=3)),
        combine=data.draw(st.sampled_from(["any", "all"])),
        semantic_threshold=1.2,
    )
    learned = Topics.fit(lambda: iter([text]), 42) if chunking.strategy == "semantic" else None
    check(text, chunk(parsed_of(text, kind), chunking, learned), chunking)


def test_delimiter_ends_a_chunk() -> None:
    assert texts_of("one --- two --- \n\n three", make("delimiter", delimiters=["---"])) == [
        "one ---",
        "two ---",
        "three",
    ]
    assert texts_of("one\n\ntwo\nstill two\n\n\n\nthree", make("delimiter")) == ["one", "two\nstill two", "three"]


def test_further_delimiters_are_for_what_is_too_large() -> None:
    lines = [f"Line number {n} has a few words about pumps." for n in range(40)]
    text = "A short paragraph\nof two lines.\n\n" + "\n".join(lines)
    pieces = texts_of(text, make("delimiter", 64))
    assert pieces[0] == "A short paragraph\nof two lines."
    assert len(pieces) > 5 and all(
        piece.split("\n")[-1] in lines and piece.split("\n")[0] in lines for piece in pieces[1:]
    )
    # As many lines as fit.
    assert all(piece.count("\n") >= 3 for piece in pieces[1:-1])
    without = texts_of(text.replace("\n", " "), make("delimiter", 64, delimiters=["###", "."]))
    assert all(piece.endswith(".") for piece in without)


def test_short_parts_are_joined_where_they_fit() -> None:
    text = "a;b;" + "words of a longer part " * 3 + ";c"
    assert len(texts_of(text, make("delimiter", shortest=0, delimiters=[";"]))) == 4
    assert len(texts_of(text, make("delimiter", shortest=40, delimiters=[";"]))) == 1


def test_overlap_is_only_between_parts_of_one_section() -> None:
    long = " ".join(f"Sentence {n} about water." for n in range(60))
    text = f"{long}\n\n{long}"
    pieces = chunk(parsed_of(text), make("delimiter", 64, 16))
    border = text.index("\n\n") + 2
    assert border in {piece.start for piece in pieces}
    laps = [first.end > second.start for first, second in pairwise(pieces)]
    assert laps.count(False) == 1


def test_rules_by_any_and_by_all() -> None:
    text = "Preface\n§ 1 One\n\n§ 2 Two\nmore\n\nnote\n\n§ 3 Three"
    rules = [("pattern", r"^§ \d"), ("delimiter", "\n\n")]
    assert texts_of(text, make("schema", rules=rules)) == ["Preface", "§ 1 One", "§ 2 Two\nmore", "note", "§ 3 Three"]
    both = texts_of(text, make("schema", rules=rules, combine="all"))
    assert both == ["Preface\n§ 1 One", "§ 2 Two\nmore\n\nnote", "§ 3 Three"]


def test_pattern_that_never_ends_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(borders, "PATTERN_SECONDS", 0.2)
    chunking = make("schema", rules=[("pattern", "(a|aa)+$")])
    with pytest.raises(DocumentError) as caught:
        chunk(parsed_of("a" * 60 + "b"), chunking)
    assert (caught.value.code, caught.value.stage) == ("pattern_timeout", "chunk")


def test_patterns_share_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """No single search is slow."""
    monkeypatch.setattr(borders, "PATTERN_SECONDS", 0.05)
    chunking = make("schema", rules=[("pattern", "a")] * 20)
    with pytest.raises(DocumentError, match=r"0\.05 seconds"):
        chunk(parsed_of("a " * 500_000), chunking)


def test_too_many_borders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(borders, "_MOST_BORDERS", 10)
    with pytest.raises(DocumentError) as caught:
        chunk(parsed_of("a " * 20), make("delimiter", delimiters=[" "]))
    assert caught.value.code == "too_many_chunks"


def test_pattern_timeout_is_one_documents_error(tmp_path: Path) -> None:
    documents = [{"text": "a" * 60 + "b", "name": "bad"}, {"text": "§ 1 one\n§ 2 two", "name": "good"}]
    rules = [{"type": "pattern", "value": r"(a|aa)+$|^§"}]
    values = {"chunk_strategy": "schema", "schema_definition": {"rules": rules}, "min_chunk_chars": 0}
    result: Any = run(
        support.FakeContext(tmp_path / "job", tmp_path), Parameters.model_validate({"documents": documents, **values})
    )
    assert [(error["code"], error["name"], error["stage"]) for error in result["errors"]] == [
        ("pattern_timeout", "bad", "chunk")
    ]
    pieces = support.read_lines(tmp_path / "job" / "chunks.jsonl")
    assert [(piece["text"], piece["strategy"]) for piece in pieces] == [("§ 1 one", "schema"), ("§ 2 two", "schema")]
    # Only the text of what is completed is left.
    assert len(list((tmp_path / "job" / "text").iterdir())) == 1


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("(", "no regular expression"),
        ("a{99999999999999999999}", "repeats too much"),
        (r"\L<names>", "no regular expression"),
        ("x*", "matches everywhere"),
        ("^", "matches everywhere"),
        ("(?R)", "call itself"),
        ("(a(?1))", "call itself"),
        ("x" * 501, "500 characters"),
        ("", "1 character"),
    ],
)
def test_bad_pattern_is_refused(value: str, words: str) -> None:
    rules = [{"type": "pattern", "value": value}]
    with pytest.raises(ValidationError) as caught:
        Parameters.model_validate({"documents": [{"path": "a"}], "schema_definition": {"rules": rules}})
    (error,) = caught.value.errors()
    assert error["loc"][:3] == ("schema_definition", "rules", 0) and words in error["msg"]


@pytest.mark.parametrize(
    "values",
    [
        {"schema_definition": {"rules": []}},
        {"schema_definition": {"rules": [{"type": "delimiter", "value": "x"}] * 21}},
        {"schema_definition": {"rules": [{"type": "other", "value": "x"}]}},
        {"schema_definition": {"rules": [{"type": "delimiter", "value": "x"}], "combine": "some"}},
        {"chunk_strategy": "schema"},
        {"delimiters": []},
        {"delimiters": [""]},
        {"delimiters": ["x"] * 21},
        {"semantic_threshold": 1.1},
        {"semantic_threshold": 3.1},
    ],
)
def test_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        Parameters.model_validate({"documents": [{"path": "a"}], **values})
    (error,) = caught.value.errors()
    assert error["loc"][0] in ("schema_definition", "delimiters", "semantic_threshold")


MATTERS = (
    "pump valve pipe water tower pressure flow reservoir filter sand tank engineer",
    "song choir violin concert hall singer melody rhythm orchestra stage drum audience",
    "wheat barley harvest field tractor soil seed farmer grain plough barn crop",
)


def prose(matter: int, count: int, seed: int) -> str:
    words = MATTERS[matter].split()
    chance = random.Random(seed)
    return " ".join(f"The {' and the '.join(chance.sample(words, 4))} were there." for _ in range(count))


def test_semantic_cuts_where_the_matter_changes() -> None:
    parts = [prose(matter, 12, seed) for seed, matter in enumerate((0, 1, 2, 0))]
    text = " ".join(parts)
    assert texts_of(text, make("semantic", 2000), learned=Topics.fit(lambda: iter([text]), 42)) == parts


def test_higher_threshold_means_fewer_chunks() -> None:
    text = " ".join(prose(seed % 3, 6, seed) for seed in range(12))
    learned = Topics.fit(lambda: iter([text]), 42)
    counts = [
        len(texts_of(text, make("semantic", 2000, semantic_threshold=threshold), learned=learned))
        for threshold in (1.2, 1.9, 3.0)
    ]
    assert counts[0] > counts[2] and counts == sorted(counts, reverse=True)


def test_semantic_segment_that_is_too_large_is_cut() -> None:
    text = prose(0, 60, 1) + " " + prose(1, 5, 2)
    chunking = make("semantic", 128, 20)
    pieces = chunk(parsed_of(text), chunking, Topics.fit(lambda: iter([text]), 42))
    check(text, pieces, chunking)
    assert len(pieces) > 5 and text.index(prose(1, 5, 2)) in {piece.start for piece in pieces}


@pytest.mark.parametrize("text", ["One word.", "Two words. Two words.", "!!! ??? ...", "水道の水は毎日検査されます。"])
def test_semantic_with_hardly_any_text(text: str) -> None:
    assert texts_of(text, make("semantic"), learned=Topics.fit(lambda: iter([text]), 42)) == [text]


def semantic_job(folder: Path, **values: Any) -> tuple[dict[str, Any], Any]:
    folder.mkdir()
    texts = [" ".join(prose((n + part) % 3, 8, 10 * n + part) for part in range(3)) for n in range(4)]
    documents = [{"text": text, "name": f"{n}.txt"} for n, text in enumerate(texts)]
    ctx = support.FakeContext(folder / "job", folder)
    given = {"documents": documents, "chunk_strategy": "semantic", "chunk_size": 2000, **values}
    return run(ctx, Parameters.model_validate(given)), ctx


def test_semantic_job_and_its_progress(tmp_path: Path) -> None:
    result, ctx = semantic_job(tmp_path / "one")
    assert (result["total_chunks"], result["chunk_strategy"], result["errors"]) == (12, "semantic", [])
    assert "Learning what sentences are about" in {note[1] for note in ctx.notes}
    assert all(first[0] <= second[0] for first, second in pairwise(ctx.notes))
    semantic_job(tmp_path / "two")
    chunks = [(tmp_path / name / "job" / "chunks.jsonl").read_bytes() for name in ("one", "two")]
    assert chunks[0] == chunks[1]


@pytest.mark.parametrize(("strategy", "module"), [("semantic", "sklearn"), ("schema", "regex")])
def test_missing_library_names_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strategy: str, module: str
) -> None:
    find = libraries.find_spec
    monkeypatch.setattr(libraries, "find_spec", lambda name: None if name == module else find(name))
    values = {"chunk_strategy": strategy, "schema_definition": {"rules": [{"type": "delimiter", "value": "x"}]}}
    with pytest.raises(PermanentError, match=f"{module} is not installed; install the extra 'pipeline'") as caught:
        run(
            support.FakeContext(tmp_path / "job", tmp_path),
            Parameters.model_validate({"documents": [{"text": "x", "name": "y"}], **values}),
        )
    assert caught.value.code == "missing_dependency"


def test_memory_that_does_not_suffice_is_the_documents_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def need_too_much(*arguments: object) -> None:
        raise MemoryError

    (tmp_path / "text").write_text("words")
    Marks("text").save(tmp_path / "marks")
    monkeypatch.setattr(chunk_document, "chunk", need_too_much)
    task = ChunkTask("d", str(tmp_path / "text"), str(tmp_path / "marks"), str(tmp_path / "chunks"), make("token"))
    found: Any = chunk_document.chunk_document(task)
    assert (found["status"], found["error"]["code"]) == ("failed", "chunker_crashed")

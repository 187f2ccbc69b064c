"""document_processing: lines that many documents of a job repeat are left out, and nothing else moves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import document_support as support

from worker.jobs.document_processing import repeated
from worker.jobs.document_processing.markdown import find_headings
from worker.jobs.document_processing.marks import Marks
from worker.jobs.document_processing.parameters import Parameters
from worker.jobs.document_processing.run import run

LICENCE = "All rights reserved by the Waterworks of Aldermouth."
NAVIGATION = "Prev Home Next"


def body(number: int) -> str:
    return "".join(f"What document {number} has to say in its line {line}.\n" for line in range(6))


def texts_after(tmp_path: Path, documents: dict[str, str], **values: Any) -> tuple[list[str], dict[str, Any]]:
    """The stored texts in the order of the documents, and the result; chunks have been checked against them."""
    given = [{"name": name, "text": text} for name, text in documents.items()]
    parameters = Parameters.model_validate({"documents": given, **values})
    result = run(support.FakeContext(tmp_path / "job", tmp_path), parameters)
    texts = support.texts_of(tmp_path / "job")
    pieces = support.read_lines(tmp_path / "job" / "chunks.jsonl")
    for document_id, text in texts.items():
        support.check_chunks(text, [piece for piece in pieces if piece["document_id"] == document_id])
    assert result["characters"] == sum(map(len, texts.values()))
    return [texts[document_id] for document_id in sorted(texts)], result


def test_line_of_most_documents_is_left_out(tmp_path: Path) -> None:
    documents = {f"{n}.txt": f"{body(n)}\n{NAVIGATION}\n\n{LICENCE}\n{body(n + 50)}" for n in range(6)}
    texts, result = texts_after(tmp_path, documents)
    assert texts == [f"{body(n)}\n\n{body(n + 50)}" for n in range(6)]
    assert {tuple(row["warnings"]) for row in result["documents"]} == {("repeated_lines_removed",)}
    (warning,) = support.read_lines(tmp_path / "job" / "documents.jsonl")[0]["warnings"]
    assert warning["count"] == 2


@pytest.mark.parametrize(("documents", "holders", "stays"), [(4, 4, True), (10, 3, True), (10, 4, False), (5, 2, True)])
def test_how_many_documents_must_have_it(tmp_path: Path, documents: int, holders: int, stays: bool) -> None:
    """More than 30 % of five and more, and three at least."""
    given = {f"{n}.txt": body(n) + (LICENCE if n < holders else "") for n in range(documents)}
    texts, _ = texts_after(tmp_path, given)
    assert sum(LICENCE in text for text in texts) == (holders if stays else 0)


def test_everything_stays_when_asked(tmp_path: Path) -> None:
    given = {f"{n}.txt": body(n) + LICENCE for n in range(6)}
    assert texts_after(tmp_path, given, strip_boilerplate=False)[0] == list(given.values())


def test_copies_of_one_document_stay_as_they_are(tmp_path: Path) -> None:
    given = {f"{n}.txt": body(1) for n in range(5)}
    texts, result = texts_after(tmp_path, given)
    assert texts == list(given.values()) and result["documents"][0]["warnings"] == []


def test_headings_code_tables_and_ends_of_paragraphs_stay(tmp_path: Path) -> None:
    kept = "# Synopsis\n\n```\nimport waterworks now\n```\n\n| Name | Value | Unit |\n|---|---|---|\n| a | b | c |\n"
    given = {f"{n}.md": f"{kept}\n{body(n)}said.\n\n{NAVIGATION}\n" for n in range(6)}
    texts, _ = texts_after(tmp_path, given)
    assert texts == [f"{kept}\n{body(n)}said.\n\n" for n in range(6)]


def test_pages_and_headings_move_along(tmp_path: Path) -> None:
    for n in range(5):
        pages = [[f"Chapter {word} {n}", LICENCE, *body(n).splitlines(), word] for word in ("one", "two")]
        data = support.make_pdf(*pages, outline=[(f"Chapter one {n}", 0), (f"Chapter two {n}", 1)])
        (tmp_path / f"{n}.pdf").write_bytes(data)
    parameters = Parameters.model_validate({"documents": [{"path": f"{n}.pdf"} for n in range(5)]})
    run(support.FakeContext(tmp_path / "job", tmp_path), parameters)
    texts = support.texts_of(tmp_path / "job")
    for record in support.read_lines(tmp_path / "job" / "documents.jsonl"):
        text = texts[record["document_id"]]
        assert LICENCE not in text
        assert text[record["page_starts"][1] :].startswith("# Chapter two")
        for start, end, level, title in record["headings"]:
            assert text[start:end].strip() == f"{'#' * level} {title}"
    chunks = support.read_lines(tmp_path / "job" / "chunks.jsonl")
    assert {(piece["page_start"], piece["page_end"]) for piece in chunks} == {(1, 2)}


WORDS = st.sampled_from(["Prev Home Next", "All of these rights are reserved", "own words", "# Head", "", "```", "x"])


@settings(max_examples=200, deadline=None)
@given(st.lists(WORDS, max_size=20), st.booleans())
def test_marks_stay_with_their_words(lines: list[str], markdown: bool) -> None:
    text = "\n".join(lines)
    headings = find_headings(text) if markdown else []
    starts = [place for place in range(len(text) + 1) if place == 0 or text[place - 1] == "\n"]
    marks = Marks("markdown" if markdown else "text", starts, headings)
    forms = {form for start, end, form in repeated.lines_of(text, marks) if text[start:end].strip() != "own words"}
    kept, moved, _ = repeated.without(text, marks, forms)
    assert moved.page_starts is not None
    assert moved.page_starts == sorted(moved.page_starts)
    for before, after in zip(headings, moved.headings, strict=True):
        assert kept[after.start : after.end] == text[before.start : before.end]
    assert [line for line in lines if line == "own words"] == [line for line in kept.split("\n") if line == "own words"]


def test_of_very_many_lines_the_first_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeated, "_MOST_LINES", 10)
    text = "".join(f"line {chr(97 + n)}{chr(97 + n)}{chr(97 + n)}\n" for n in range(20))
    assert len(repeated.forms_of(text, Marks("text"))) == 10


def test_what_only_some_groups_have_is_counted_over_all(tmp_path: Path) -> None:
    """Counted in groups first, which must lose nothing and add nothing."""
    files = []
    for n in range(25):
        text = f"own {n * 'x'} words of it\n" + ("often\n" if n % 3 == 0 else "") + ("early\n" if n < 7 else "")
        repeated.save(repeated.forms_of(text, Marks("text")), tmp_path / str(n))
        files.append(tmp_path / str(n))
    often = {form for _, _, form in repeated.lines_of("OFTEN ", Marks("text"))}
    assert repeated.repeated(files) == often

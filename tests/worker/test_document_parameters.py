"""document_processing: what is accepted at submit, what is refused, and with which words."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from worker.jobs.document_processing.page_ranges import choose, parse_ranges
from worker.jobs.document_processing.parameters import Parameters

ONE = {"documents": [{"path": "a.txt"}]}


def mistakes(**values: Any) -> dict[tuple[Any, ...], str]:
    with pytest.raises(ValidationError) as caught:
        Parameters.model_validate(ONE | values)
    return {error["loc"]: error["msg"] for error in caught.value.errors()}


def test_defaults() -> None:
    chunking = Parameters.model_validate(ONE).chunking()
    assert (chunking.strategy, chunking.size, chunking.overlap) == ("token", 512, 50)
    assert (chunking.tokenizer, chunking.min_characters) == ("o200k", 40)


@pytest.mark.parametrize(
    ("strategy", "size", "overlap"),
    [("character", None, 200), ("token", 100, 10), ("character", 16, 1), ("token", 32_000, 50)],
)
def test_default_overlap(strategy: str, size: int | None, overlap: int) -> None:
    parameters = Parameters.model_validate(ONE | {"chunk_strategy": strategy, "chunk_size": size})
    assert parameters.chunking().overlap == overlap


@pytest.mark.parametrize(("size", "overlap"), [(16, 14), (100, 90), (None, 460), (32_000, 28_800)])
def test_largest_overlap(size: int | None, overlap: int) -> None:
    """More would leave room for crumbs only."""
    values = {"chunk_size": size, "chunk_strategy": "token"}
    assert Parameters.model_validate(ONE | values | {"overlap": overlap}).chunking().overlap == overlap
    message = mistakes(**values, overlap=overlap + 1)["overlap",]
    assert message == f"must be at most nine tenths of chunk_size, which are {overlap}"


def test_parameter_not_known_is_answered_with_those_that_are() -> None:
    found = mistakes(delimiter=["x"], chunk_size=5)
    assert found["delimiter",].startswith("not a parameter of document_processing, which has: chunk_size,")
    assert "min_chunk_chars" in found["delimiter",]
    assert ("chunk_size",) in found


def test_strategy_not_known_is_answered_with_those_that_are() -> None:
    message = mistakes(chunk_strategy="nonsense")["chunk_strategy",]
    for known in ("token", "character", "delimiter", "schema", "heading", "semantic"):
        assert f"'{known}'" in message


def test_format_not_built_is_answered_with_those_that_are() -> None:
    told = "'auto', 'pdf', 'docx', 'html', 'markdown', 'text', 'odt', 'pptx', 'xlsx', 'epub', 'rtf' or 'eml'"
    assert told in mistakes(input_format="ods")["input_format",]
    assert "'auto', 'pdfium', 'mammoth', 'html', 'text' or 'xberg'" in mistakes(parser="ocr")["parser",]


@pytest.mark.parametrize(("field", "value"), [("parser", "xberg"), ("input_format", "odt"), ("input_format", "eml")])
def test_what_needs_an_extra_is_refused_without_it(monkeypatch: pytest.MonkeyPatch, field: str, value: str) -> None:
    assert getattr(Parameters.model_validate(ONE | {field: value}), field) == value
    monkeypatch.setitem(sys.modules, "xberg", None)
    message = mistakes(**{field: value})[field,]
    assert message.startswith("missing_dependency: ") and message.endswith("install the extra 'formats'")


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"chunk_size": 15}, "chunk_size"),
        ({"chunk_size": 32_001}, "chunk_size"),
        ({"chunk_size": 100, "overlap": 100}, "overlap"),
        ({"chunk_size": 100, "overlap": 91}, "overlap"),
        ({"chunk_size": 16, "overlap": 15}, "overlap"),
        ({"overlap": 461}, "overlap"),
        ({"overlap": 512}, "overlap"),
        ({"chunk_strategy": "character", "overlap": 2000}, "overlap"),
        ({"overlap": -1}, "overlap"),
        ({"tokenizer": "p50k"}, "tokenizer"),
        ({"encoding": "no-such"}, "encoding"),
        ({"encoding": "hex"}, "encoding"),
        ({"encoding": "rot13"}, "encoding"),
        ({"encoding": "unicode_escape"}, "encoding"),
        ({"encoding": "a\0b"}, "encoding"),
        ({"document_timeout": 0}, "document_timeout"),
        ({"document_timeout": float("nan")}, "document_timeout"),
        ({"document_timeout": 3601}, "document_timeout"),
        ({"max_error_rate": 1.1}, "max_error_rate"),
        ({"input_format": "pdf", "parser": "mammoth"}, "parser"),
        ({"heading_levels": []}, "heading_levels"),
        ({"heading_levels": [0]}, "heading_levels"),
        ({"heading_levels": [7]}, "heading_levels"),
        ({"chunk_strategy": "heading", "overlap": 512}, "overlap"),
        ({"password": "x" * 128}, "password"),
        ({"password": "a\0b"}, "password"),
        ({"pages": "1-2", "input_format": "text"}, "pages"),
        ({"pages": "1-2", "parser": "html"}, "pages"),
        ({"documents": []}, "documents"),
        ({"documents": [{"path": f"{n}.txt"} for n in range(1001)]}, "documents"),
        ({"documents": [{"path": "a.txt"}, {"path": "./a.txt"}]}, "documents"),
        ({"documents": [{"text": "x", "name": "n"}, {"text": "y", "name": "n"}]}, "documents"),
    ],
)
def test_refused(values: dict[str, Any], place: str) -> None:
    assert {loc[0] for loc in mistakes(**values)} == {place}


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/etc/passwd", "relative"),
        ("a\0b", "NUL"),
        ("a\nb", "control"),
        ("x" * 5000, "1024"),
        ("", "1 character"),
        ("a\ud800", ""),
    ],
)
def test_bad_path_is_an_error_of_its_field(path: str, words: str) -> None:
    found = mistakes(documents=[{"path": path}])
    assert words in found["documents", 0, "path"]


@pytest.mark.parametrize("document", [{}, {"text": "x"}, {"name": "x"}, {"path": "x", "text": "y", "name": "z"}])
def test_document_is_a_path_or_a_text(document: dict[str, str]) -> None:
    assert "give either 'path', or 'text' with 'name'" in mistakes(documents=[document])["documents", 0]


def test_all_mistakes_come_at_once() -> None:
    found = mistakes(documents=[{"path": "/x"}, {"url": "y"}], chunk_size=1, overlap=-1, nonsense="x")
    assert len(found) == 5


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"input_format": "pdf"}, "pdf"),
        ({"input_format": "docx"}, "docx"),
        ({"parser": "mammoth"}, "mammoth"),
        ({"input_format": "eml"}, "eml"),
    ],
)
def test_what_cannot_come_as_text(values: dict[str, Any], word: str) -> None:
    assert word in mistakes(documents=[{"text": "x", "name": "y"}], **values)[()]


@pytest.mark.parametrize(
    "pages", ["", "0", "5-1", "1-", "-2", "a", "1,,2", "1-2-3", "1;2", "1-9999999", "²", "1," * 300]
)
def test_bad_page_range_is_an_error_of_its_field(pages: str) -> None:
    assert list(mistakes(pages=pages)) == [("pages",)]


def test_page_ranges() -> None:
    assert choose(parse_ranges("1-3, 2,7 , 9-20"), 10) == [0, 1, 2, 6, 8, 9]
    assert choose(parse_ranges("11-999999"), 10) == []
    assert Parameters.model_validate(ONE | {"pages": "1-20,25"}).pages == "1-20,25"


def test_password_is_in_no_text_about_the_parameters() -> None:
    assert "opensesame" not in repr(Parameters.model_validate(ONE | {"password": "opensesame"}))
    for values in ({"password": "opensesame\n"}, {"password": ["opensesame"]}, {"pasword": "opensesame"}):
        with pytest.raises(ValidationError) as caught:
            Parameters.model_validate(ONE | {"password": "opensesame"} | values)
        told = [(error["loc"], error["msg"]) for error in caught.value.errors()]
        assert "opensesame" not in f"{caught.value}{caught.value!r}{told}"


def test_heading_levels_are_a_set() -> None:
    assert Parameters.model_validate(ONE | {"heading_levels": [2, 1, 2]}).chunking().heading_levels == [1, 2]


def test_encoding_gets_its_usual_name() -> None:
    assert Parameters.model_validate(ONE | {"encoding": "Latin-1"}).encoding == "iso8859-1"


def test_check_inputs(tmp_path: Path) -> None:
    root = tmp_path / "input"
    (root / "folder").mkdir(parents=True)
    (root / "a.txt").write_text("x")
    (tmp_path / "outside.txt").write_text("x")
    (root / "link.txt").symlink_to(tmp_path / "outside.txt")
    paths = ["a.txt", "missing.txt", "../outside.txt", "../nowhere.txt", "link.txt", "folder"]
    documents: list[dict[str, str]] = [{"path": path} for path in paths]
    parameters = Parameters.model_validate({"documents": [*documents, {"text": "x", "name": "y"}]})
    problems = dict(parameters.check_inputs(root))
    assert list(problems) == [("documents", index, "path") for index in (1, 2, 3, 4, 5)]
    # Nobody learns from the answer what lies outside.
    assert len({problems["documents", index, "path"] for index in (1, 2, 3, 4)}) == 1
    assert "regular file" in problems["documents", 5, "path"]


def test_import_is_light() -> None:
    code = (
        "import sys, worker.jobs.document_processing.parameters\n"
        "heavy = {'pypdfium2', 'pypdfium2_raw', 'chardetng_py', 'semantic_text_splitter', 'redis', 'aiohttp'}\n"
        "heavy |= {'mammoth', 'html_to_markdown', 'cmarkgfm', 'regex', 'sklearn', 'numpy', 'sentencex'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_braces_are_told_as_they_are() -> None:
    with pytest.raises(ValidationError) as caught:
        Parameters.model_validate({"documents": [{"path": "{a}.txt"}, {"path": "{a}.txt"}]})
    assert caught.value.errors()[0]["msg"].startswith("'{a}.txt' is listed twice")

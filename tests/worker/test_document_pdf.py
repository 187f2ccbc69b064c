"""document_processing: PDF to the normal form."""

from __future__ import annotations

import pytest
from samples import document_support as support

from worker.jobs.document_processing.boilerplate import strip_repeated
from worker.jobs.document_processing.errors import DocumentError
from worker.jobs.document_processing.outline import Entry, place_headings
from worker.jobs.document_processing.parsed import Parsed
from worker.jobs.document_processing.pdf import parse_pdf
from worker.jobs.document_processing.task import Limits

LIMITS = Limits(bytes=10**7, pages=100, characters=10**6)


def parse(data: bytes, limits: Limits = LIMITS, *, strip: bool = True) -> Parsed:
    return parse_pdf(data, limits, strip=strip, advance=lambda part: None)


def code_of(data: bytes, limits: Limits = LIMITS) -> str:
    with pytest.raises(DocumentError) as caught:
        parse(data, limits)
    return caught.value.code


def test_pages_and_their_starts() -> None:
    parsed = parse(support.make_pdf(["one", "two"], [], ["three é €"]))
    assert parsed.text == "one\ntwo\n\nthree é €\n\n"
    assert parsed.page_starts == [0, 9, 9]


def test_words_parted_at_a_line_end_are_joined() -> None:
    parsed = parse(support.make_pdf(["The filter is an exam-", "ple of patience."]))
    assert "example of patience." in parsed.text
    assert not {"\x02", "\ufffe"} & set(parsed.text)


def test_outline_becomes_headings() -> None:
    pages = (["1.2  Pumps", "They lift water."], ["Before.", "A very long title that", "goes on below", "Text."])
    outline = [("Pumps", 0), ("A very long title that goes on below", 1), ("Not on the page", 1)]
    parsed = parse(support.make_pdf(*pages, outline=outline))
    assert parsed.text == (
        "# 1.2 Pumps\n\nThey lift water.\n\nBefore.\n\n# A very long title that goes on below\n\nText.\n\n"
    )
    assert [(heading.start, heading.title) for heading in parsed.headings] == [
        (0, "1.2 Pumps"),
        (parsed.text.index("# A very"), "A very long title that goes on below"),
    ]


def test_headings_are_found_in_order_and_as_whole_lines() -> None:
    lines = ["Levels of noise", "Levels", "text", "Chapter 4: Alarms", "", "Levels"]
    entries = [Entry(1, "Levels", 0), Entry(2, "alarms", 0), Entry(2, "Levels", 0), Entry(2, "Levels", 0)]
    (placed,) = place_headings([lines], entries)
    assert [(heading.line, heading.title) for heading in placed] == [
        (1, "Levels"),
        (3, "Chapter 4: Alarms"),
        (5, "Levels"),
    ]


def test_lines_that_repeat_are_left_out() -> None:
    pages = [["Head", f"Chapter {n}", *[f"{n} line {k} of text" for k in range(8)], f"Page {n} of 9"] for n in range(5)]
    stripped = strip_repeated(pages, keep={"chapter 3"})
    assert stripped == [page[1:-1] for page in pages]
    assert strip_repeated(pages[:3], keep=set()) == pages[:3]


def test_short_pages_are_left_alone() -> None:
    pages = [["Head", f"text {n}", f"Page {n}"] for n in range(9)]
    assert strip_repeated(pages, keep=set()) == pages


def test_sample_without_its_running_lines() -> None:
    data = (support.SAMPLES / "handbook.pdf").read_bytes()
    parsed = parse(data)
    assert len(parsed.page_starts or []) == 12
    assert len(parsed.headings) == 37
    assert all(parsed.text[heading.start :].startswith("#" * heading.level + " ") for heading in parsed.headings)
    assert "Running a Small Water Works" not in parsed.text
    assert parse(data, strip=False).text.count("Running a Small Water Works") == 12


@pytest.mark.parametrize("data", [b"%PDF-1.4 junk", b"%PDF-1.7\n" + bytes(range(256)) * 9, b"%PDF-"])
def test_corrupt(data: bytes) -> None:
    assert code_of(data) == "corrupt_file"


def test_truncated() -> None:
    assert code_of((support.SAMPLES / "handbook.pdf").read_bytes()[:900]) == "corrupt_file"


def test_encrypted() -> None:
    assert code_of(support.locked_pdf()) == "encrypted"


def test_no_text_layer() -> None:
    assert code_of(support.pdf_of_streams([(b"0 0 100 100 re f", b"")] * 3)) == "no_text_layer"


def test_limits() -> None:
    data = support.make_pdf(*[["some words"]] * 5)
    assert code_of(data, Limits(bytes=10**7, pages=4, characters=100)) == "too_many_pages"
    assert code_of(data, Limits(bytes=10**7, pages=5, characters=40)) == "too_many_characters"


def test_damaged_page_is_a_warning() -> None:
    data = support.make_pdf(["first page"], ["second page"])
    place = data.rindex(b"/Type /Page /Parent")
    parsed = parse(data[:place] + b"/Type /Pagx /Parent" + data[place + 19 :])
    assert (parsed.text, parsed.page_starts) == ("first page\n\n", [0, 12])
    assert [(notice.code, notice.count) for notice in parsed.notices] == [("pages_unreadable", 1)]


def test_only_damaged_pages() -> None:
    data = support.make_pdf(["first page"])
    assert code_of(data.replace(b"/Type /Page /Parent", b"/Type /Pagx /Parent")) == "corrupt_file"


def test_outline_without_targets_or_words() -> None:
    data = support.make_pdf(["Levels", "text"], outline=[("Levels", 0), ("  ", 0), ("Lost", 0)])
    place = data.rindex(b"/Dest")
    parsed = parse(data[:place] + b"/Tsed" + data[place + 5 :])
    assert [heading.title for heading in parsed.headings] == ["Levels"]

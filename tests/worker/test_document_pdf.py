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


def parse(
    data: bytes, limits: Limits = LIMITS, *, strip: bool = True, pages: str | None = None, password: str | None = None
) -> Parsed:
    return parse_pdf(data, limits, strip=strip, advance=lambda part: None, pages=pages, password=password)


def error_of(
    data: bytes, limits: Limits = LIMITS, pages: str | None = None, password: str | None = None
) -> DocumentError:
    with pytest.raises(DocumentError) as caught:
        parse(data, limits, pages=pages, password=password)
    return caught.value


def code_of(data: bytes, limits: Limits = LIMITS, pages: str | None = None) -> str:
    return error_of(data, limits, pages).code


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


def test_cut_short_is_told() -> None:
    data = support.make_pdf(*[[f"page {page} line {line}" for line in range(30)] for page in range(5)])
    assert parse(data).notices == [] == parse(data + b"\0" * 900).notices
    parsed = parse(data[: data.rindex(b"startxref")])
    assert [notice.code for notice in parsed.notices] == ["truncated"]
    assert "page 4 line 29" in parsed.text


@pytest.mark.parametrize(("missing", "codes"), [(-20, []), (0, []), (1, ["truncated"])])
def test_length_that_the_file_claims_is_compared(missing: int, codes: list[str]) -> None:
    """For files that were made for reading over the web, whose first end mark comes early."""
    data = support.make_pdf(["some words"])
    claim = b"90 0 obj\n<< /Linearized 1 /H [9 9] /L %08d >>\nendobj\n"
    length = len(data) + len(claim % 0) + missing
    parsed = parse(data.replace(b"1 0 obj", claim % length + b"1 0 obj", 1))
    assert (parsed.text, [notice.code for notice in parsed.notices]) == ("some words\n\n", codes)


def test_encrypted() -> None:
    data = support.encrypted_pdf("secret words", user="open sésame")
    assert parse(data, password="open sésame").text == "secret words\n\n"
    without, wrong = error_of(data), error_of(data, password="open barley")
    assert (without.code, wrong.code) == ("encrypted", "encrypted")
    assert "give it as 'password'" in str(without)
    assert "does not open it" in str(wrong) and "barley" not in str(wrong)


@pytest.mark.parametrize("password", [None, "", "not needed"])
def test_empty_user_password_opens(password: str | None) -> None:
    data = support.encrypted_pdf("not so secret", user="")
    if password == "not needed":
        # An owner's password may be meant, so a wrong one is told.
        assert error_of(data, password=password).code == "encrypted"
    else:
        assert parse(data, password=password).text == "not so secret\n\n"


def test_password_of_a_pdf_without_one_is_no_matter() -> None:
    assert parse(support.make_pdf(["plain"]), password="x").text == "plain\n\n"


def test_only_the_pages_asked_for() -> None:
    data = support.make_pdf(*[[f"text {n}"] for n in range(1, 6)], outline=[("text 2", 1), ("text 3", 2)])
    parsed = parse(data, pages="4,2")
    assert (parsed.text, parsed.pages, parsed.notices) == ("# text 2\n\ntext 4\n\n", 2, [])
    # Pages keep their numbers.
    assert parsed.page_starts == [0, 0, 10, 10, 18]
    assert [heading.title for heading in parsed.headings] == ["text 2"]


def test_pages_beyond_the_end() -> None:
    data = support.make_pdf(["one"], ["two"])
    parsed = parse(data, pages="2-9")
    assert (parsed.text, [notice.code for notice in parsed.notices]) == ("two\n\n", ["pages_beyond_end"])
    error = error_of(data, pages="3-9")
    assert error.code == "no_such_pages" and "has 2 pages" in str(error)


def test_limit_counts_the_pages_that_are_read() -> None:
    data = support.make_pdf(*[["words"]] * 5)
    tight = Limits(bytes=10**7, pages=2, characters=10**6)
    assert parse(data, tight, pages="3-4").pages == 2
    assert code_of(data, tight, pages="1-3") == "too_many_pages"


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


@pytest.mark.parametrize("title", [b"<FEFFD800>", b"<FEFF00410020DC00>"])
def test_outline_entry_with_half_a_character_is_left_out(title: bytes) -> None:
    data = support.make_pdf(["Levels", "text", "Depth"], outline=[("Levels", 0), ("Sounds", 0), ("Depth", 0)])
    parsed = parse(data.replace(b"(Sounds)", title))
    assert [heading.title for heading in parsed.headings] == ["Levels", "Depth"]


def test_outline_without_targets_or_words() -> None:
    data = support.make_pdf(["Levels", "text"], outline=[("Levels", 0), ("  ", 0), ("Lost", 0)])
    place = data.rindex(b"/Dest")
    parsed = parse(data[:place] + b"/Tsed" + data[place + 5 :])
    assert [heading.title for heading in parsed.headings] == ["Levels"]

"""document_processing: DOCX and HTML to the normal form, and how much of the words of every format arrives."""

from __future__ import annotations

import re
import time
import zipfile
from collections import Counter
from io import BytesIO

import pytest
from samples import make_samples
from samples.make_docx import docx_of_body, make_docx, paragraph, zip_of
from samples.make_html import make_html

from worker.jobs.document_processing.docx import parse_docx
from worker.jobs.document_processing.errors import DocumentError
from worker.jobs.document_processing.formats import Kind
from worker.jobs.document_processing.html import parse_html
from worker.jobs.document_processing.markdown import find_headings
from worker.jobs.document_processing.parse import parse
from worker.jobs.document_processing.parsed import Parsed
from worker.jobs.document_processing.sniff import sniff
from worker.jobs.document_processing.task import Limits, Task

OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def html(body: str, head: str = "", *, strip: bool = True, encoding: str | None = None) -> Parsed:
    return parse_html(f"<!doctype html><html><head>{head}</head><body>{body}".encode(), encoding, strip=strip)


def words(text: str) -> Counter[str]:
    return Counter(re.findall(r"\w+", text.casefold()))


def word_f1(found: str, source: str) -> float:
    ours, theirs = words(found), words(source)
    shared = (ours & theirs).total()
    return 2 * shared / (ours.total() + theirs.total())


def task(name: str) -> Task:
    limits = Limits(bytes=10**8, pages=1000, characters=10**7)
    return Task(1, name, {"path": name}, name, None, "", "", "", "", "auto", "auto", None, None, True, limits)


def parsed_sample(data: bytes, name: str) -> Parsed:
    kind: Kind = sniff(data, name, "auto").kind
    return parse(data, kind, task(name), lambda part: None)


@pytest.mark.parametrize("name", list(make_samples.SOURCES))
def test_words_of_samples_arrive(name: str) -> None:
    found = parsed_sample(make_samples.make(name), name).text
    assert word_f1(found, make_samples.source_of(name)) >= 0.97


@pytest.mark.parametrize("suffix", ["pdf", "docx", "html"])
def test_words_of_a_long_document_arrive_in_every_format(suffix: str) -> None:
    """The handbook has twelve pages; its headings arrive too."""
    source = make_samples.source_of("handbook.pdf").replace("*", "")
    makers = {"pdf": make_samples.make_pdf, "docx": make_docx, "html": lambda text: make_html(text).encode()}
    parsed = parsed_sample(makers[suffix](source), f"handbook.{suffix}")
    assert word_f1(parsed.text, source) >= 0.97
    assert [heading.title for heading in parsed.headings] == [heading.title for heading in find_headings(source)]


def test_the_measure_of_words_can_fail() -> None:
    source = make_samples.source_of("inspection.docx")
    assert word_f1(source[: len(source) * 9 // 10], source) < 0.97
    assert word_f1(source.replace("e ", "e"), source) < 0.97


def test_docx_reads_well() -> None:
    text = parse_docx(make_samples.make("inspection.docx")).text
    assert text.startswith("# Inspection report: footbridge at Mill Lane\n\nPrepared for")
    assert "\n# Summary\n" in text and "\n## Moisture readings\n" in text
    assert "| Part | Condition | Action | Due |\n| --- | --- | --- | --- |\n| Deck boards | good, some moss |" in text
    assert "- Timber\n  - deck boards, every second board lifted\n  - posts and rails\n    - probe" in text
    assert "2. Close the bridge for one morning and change the posts.\n   1. Loosen the rail" in text


def test_docx_external_image_is_dropped() -> None:
    picture = (
        '<w:p><w:r><w:drawing><wp:inline><wp:docPr id="1" name="p" descr="ALT"/><a:graphic><a:graphicData><pic:pic>'
        '<pic:blipFill><a:blip r:link="rId9"/></pic:blipFill></pic:pic></a:graphicData></a:graphic></wp:inline>'
        "</w:drawing></w:r></w:p>"
    )
    link = f'<Relationship Id="rId9" Type="{OFFICE}/image" Target="file:///etc/hostname" TargetMode="External"/>'
    data = docx_of_body(paragraph("before") + picture + paragraph("after"), relationships=link)
    assert parse_docx(data).text == "before\n\nafter\n"


@pytest.mark.parametrize("kind", ["page", "column", "textWrapping"])
def test_docx_break_parts_words(kind: str) -> None:
    body = f'<w:p><w:r><w:t>one</w:t></w:r><w:r><w:br w:type="{kind}"/></w:r><w:r><w:t>two</w:t></w:r></w:p>'
    assert parse_docx(docx_of_body(body)).text == "one  \ntwo\n"


def test_docx_break_in_front_of_a_heading_is_nothing() -> None:
    look = '<w:pPr><w:pStyle w:val="Heading1"/></w:pPr>'
    body = f'<w:p>{look}<w:r><w:br w:type="page"/></w:r><w:r><w:t>Head</w:t></w:r></w:p>{paragraph("text")}'
    assert parse_docx(docx_of_body(body)).text == "# Head\n\ntext\n"


def test_docx_break_in_a_heading_leaves_it_one() -> None:
    look = '<w:pPr><w:pStyle w:val="Heading1"/></w:pPr>'
    run = "<w:r><w:t>{}</w:t></w:r>"
    body = f'<w:p>{look}{run.format("One")}<w:r><w:br w:type="page"/></w:r>{run.format("two")}</w:p>{paragraph("text")}'
    assert [heading.title for heading in parse_docx(docx_of_body(body)).headings] == ["One two"]


def test_docx_tells_what_it_cannot_read() -> None:
    formula = '<w:p><m:oMath xmlns:m="http://example.org/math"><m:r><m:t>E=mc2</m:t></m:r></m:oMath></w:p>'
    styled = paragraph("words", '<w:pStyle w:val="Unknown"/>')
    parsed = parse_docx(docx_of_body(formula + formula + "<w:p><w:r><w:odd/></w:r></w:p>" + styled))
    assert parsed.text == "words\n"
    (notice,) = parsed.notices
    assert (notice.code, notice.count) == ("content_ignored", 2)
    assert parse_docx(docx_of_body(styled)).notices == []


def test_docx_link_becomes_its_words() -> None:
    body = '<w:p><w:hyperlink r:id="rId9"><w:r><w:t>the words</w:t></w:r></w:hyperlink></w:p>'
    link = f'<Relationship Id="rId9" Type="{OFFICE}/hyperlink" Target="http://example.org/" TargetMode="External"/>'
    assert parse_docx(docx_of_body(body, relationships=link)).text == "the words\n"


def test_docx_does_not_bring_its_own_style_map() -> None:
    with zipfile.ZipFile(BytesIO(docx_of_body(paragraph("words")))) as archive:
        entries: dict[str, str | bytes] = {name: archive.read(name) for name in archive.namelist()}
    entries["mammoth/style-map"] = "p => h1:fresh"
    assert parse_docx(zip_of(entries)).text == "words\n"


def test_docx_external_entity_stays_outside() -> None:
    for declared in ('<!ENTITY x SYSTEM "file:///etc/passwd">', '<!ENTITY % y SYSTEM "file:///etc/passwd"> %y;'):
        head = f'<?xml version="1.0"?><!DOCTYPE w [{declared}<!ENTITY z "fine">]>'
        body = "<w:p><w:r><w:t>a&x;b &z;</w:t></w:r></w:p>" if " x " in declared else paragraph("ab")
        assert "root" not in parse_docx(docx_of_body(body, head=head)).text


@pytest.mark.parametrize("place", range(0, 100, 4))
def test_docx_damaged_anywhere_is_corrupt_or_readable(place: int) -> None:
    """Nothing but a DocumentError comes out of a damaged file."""
    data = bytearray(make_samples.make("inspection.docx"))
    where = len(data) * place // 100
    data[where : where + 40] = b"<w:p/>&x;\0\xff" * 4
    try:
        sniff(bytes(data), "a.docx", "auto")
        parse_docx(bytes(data))
    except DocumentError as error:
        assert error.code in ("corrupt_file", "unsupported_format", "encrypted", "archive_bomb")


@pytest.mark.parametrize(
    "body",
    [
        "<w:tbl><w:tr><w:tc>" * 3000 + "</w:tc></w:tr></w:tbl>" * 3000,
        '<w:p><w:pPr><w:numPr><w:ilvl w:val="x"/><w:numId w:val="1"/></w:numPr></w:pPr></w:p><w:p>',
        "<w:tbl><w:tr><w:tc><w:tcPr><w:gridSpan w:val='many'/></w:tcPr></w:tc></w:tr></w:tbl>",
        "<w:p><w:r><w:sym w:font='Wingdings' w:char='zz'/></w:r></w:p>",
    ],
    ids=["nested tables", "unclosed", "no number", "no character"],
)
def test_docx_with_odd_content_is_corrupt(body: str) -> None:
    with pytest.raises(DocumentError) as caught:
        parse_docx(docx_of_body(body))
    assert caught.value.code == "corrupt_file"


def test_html_without_what_surrounds_its_text() -> None:
    parsed = parse_html(make_samples.make("tide-tables.html"), None, strip=True)
    for word in (
        "Jottings",
        "Boats",
        "Weather",
        "Find on this site",
        "Look it up",
        "all rights",
        "window.visits",
        "nav {",
    ):
        assert word not in parsed.text
    assert parsed.text.startswith("# How the harbour's tide table is made\n")
    assert "| M2 | 12.42 | 142 | the moon's main pull |" in parsed.text
    assert "```\n# one column for each part of each constituent\ndef design(times, speeds):\n    columns" in parsed.text
    # The comment in the code is no heading.
    assert [heading.title for heading in parsed.headings][2:4] == ["The fit", "Checking the fit"]
    assert "the scratch on the harbour wall" in parsed.text and "example.org" not in parsed.text


def test_html_with_what_surrounds_its_text() -> None:
    text = parse_html(make_samples.make("tide-tables.html"), None, strip=False).text
    assert "Jottings" in text and "Boats" in text and "all rights" in text
    assert "window.visits" not in text and "nav {" not in text


def test_html_that_is_one_large_form_is_read() -> None:
    parsed = html("<form><p>All of the page</p></form>")
    assert (parsed.text, [notice.code for notice in parsed.notices]) == ("All of the page\n", ["boilerplate_kept"])
    assert html("<form><p>a form</p></form><p>A page</p>").text == "A page\n"
    assert html("<article><header><h1>Title</h1></header><p>text</p></article>").headings[0].title == "Title"


CONTENT = "<h1>Main</h1><p>" + "All of the real content lies in here, and there is enough of it. " * 4 + "</p>"


@pytest.mark.parametrize(
    "page",
    [
        f"<html><body><form id=aspnetForm>{CONTENT}</form><p>Copyright 2026</p></body></html>",
        f"<html><body class='navigation'>{CONTENT}<p>end</p></body></html>",
        f"<html><body id=nav>{CONTENT}<p>end</p></body></html>",
    ],
)
def test_html_that_is_nearly_all_form_or_navigation_is_read(page: str) -> None:
    parsed = parse_html(page.encode(), None, strip=True)
    assert [notice.code for notice in parsed.notices] == ["boilerplate_kept"]
    assert parsed.text.startswith("# Main\n") and "there is enough of it" in parsed.text


def test_html_with_a_text_of_its_own_loses_its_form_and_navigation() -> None:
    parsed = html(f"<nav>{'<a>elsewhere</a> ' * 20}</nav>{CONTENT}<form>{'<p>a field</p>' * 20}</form>")
    assert parsed.notices == [] and not {"elsewhere", "field"} & set(words(parsed.text))


def test_html_keeps_words_only() -> None:
    parsed = html(
        '<p>See <a href="http://x.org">this <b>page</b></a> <img src="http://x.org/a.png" alt="pic">on pumps</p>'
    )
    assert parsed.text == "See this **page** on pumps\n"
    assert (
        "x.org" not in html('<iframe src="http://x.org">f</iframe><blockquote cite="http://x.org">q</blockquote>').text
    )


def test_html_heading_in_code_is_none() -> None:
    parsed = html("<h2>Real</h2><pre># not\n## real</pre><p># neither</p>")
    assert [heading.title for heading in parsed.headings] == ["Real"]


@pytest.mark.parametrize(
    ("head", "encoding"),
    [
        ('<meta charset="windows-1252">', "cp1252"),
        ("<META http-equiv=Content-Type content='text/html; charset=ISO-8859-1'>", "cp1252"),
        ("<meta charset=utf-16>", "utf-8"),
        ("<meta charset=nonsense>", "utf-8"),
        ("<meta name=x content=y>", "utf-8"),
    ],
)
def test_html_encoding_as_the_page_says(head: str, encoding: str) -> None:
    page = f"<html><head>{head}</head><body><p>Größe: 5 €</p></body></html>".encode(encoding)
    parsed = parse_html(page, None, strip=True)
    assert (parsed.text, parsed.encoding, parsed.notices) == ("Größe: 5 €\n", encoding, [])


def test_html_encoding_of_the_caller_and_of_the_mark_win() -> None:
    page = "<html><meta charset=utf-8><p>Žluťoučký kůň</p></html>"
    assert parse_html(page.encode("iso8859-2"), "iso8859-2", strip=True).text == "Žluťoučký kůň\n"
    assert parse_html(page.encode("utf-16"), None, strip=True).text == "Žluťoučký kůň\n"
    declared = '<?xml version="1.0" encoding="iso-8859-2"?><html><p>Žluťoučký kůň</p></html>'
    assert parse_html(declared.encode("iso8859-2"), None, strip=True).text == "Žluťoučký kůň\n"


@pytest.mark.parametrize(
    "start",
    [b"<meta " * 300 + b"charset=" + b" " * 2200, b"<meta\t" * 100 + b"charset" + b" " * 1700 + b"=" + b" " * 1700],
)
def test_html_encoding_is_looked_for_in_a_moment(start: bytes) -> None:
    before = time.process_time()
    parse_html(start + b"><p>words", None, strip=True)
    assert time.process_time() - before < 2


def test_html_nested_too_deep_is_told() -> None:
    parsed = html("<p>above</p>" + "<div>" * 200_000 + "below")
    assert (parsed.text, [notice.code for notice in parsed.notices]) == ("above\n", ["nested_too_deep"])


def test_html_with_unclosed_elements_is_whole() -> None:
    """Valid and common: they are not nested."""
    text = html("<ul>" + "<li>point" * 3000 + "</ul>" + "<p>words" * 3000).text
    assert (text.count("point"), text.count("words")) == (3000, 3000)

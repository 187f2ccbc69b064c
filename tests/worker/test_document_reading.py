"""document_processing: what a document is, its encoding, its normal form and the headings of Markdown."""

from __future__ import annotations

import codecs
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples.make_docx import make_docx, zip_of

from worker.jobs.document_processing.decode import decode, normalise
from worker.jobs.document_processing.errors import DocumentError
from worker.jobs.document_processing.formats import InputFormat, Parser
from worker.jobs.document_processing.markdown import find_headings
from worker.jobs.document_processing.sniff import sniff, sniff_inline

GERMAN = (
    "Die Höhe der Brücke über den Fluss beträgt zwölf Meter; größere Schiffe müssen warten. „Später“, heißt es – 5 €."
)
JAPANESE = "水道の水は毎日検査されます。ポンプは月曜日に交代します。フィルターの掃除は二か月ごとに行います。"


DOCX = make_docx("# Title")


def code_of_sniff(data: bytes, name: str, input_format: InputFormat = "auto", parser: Parser = "auto") -> str:
    with pytest.raises(DocumentError) as caught:
        sniff(data, name, input_format, parser)
    return caught.value.code


@pytest.mark.parametrize(
    ("data", "name", "kind", "warned"),
    [
        (b"%PDF-1.7\n...", "a.pdf", "pdf", False),
        (b"%PDF-1.7\n...", "a.txt", "pdf", True),
        (b"%PDF-1.7\n...", "a", "pdf", False),
        (b"junk before %PDF-1.7\n...", "a.pdf", "pdf", False),
        (b"junk before %PDF-1.7\n... startxref\n12\n%%EOF", "a.bin", "pdf", False),
        (b"A PDF begins with %PDF-1.7, as you know.", "a.txt", "text", False),
        (b"# Title", "a.md", "markdown", False),
        (b"# Title", "A.MARKDOWN", "markdown", False),
        (b"# Title", "a.txt", "text", False),
        (b"words", "noextension", "text", False),
        (b"words", "a.docx", "text", True),
        (b"words", "a.pdf", "text", True),
        (b"I like <html> as a word", "a.md", "markdown", False),
        (DOCX, "a.docx", "docx", False),
        (DOCX, "a.pdf", "docx", True),
        (b"%PDF-1.7\n...", "a.docx", "pdf", True),
        (b"  <!DOCTYPE html><p>", "a.html", "html", False),
        (b"<?xml version='1.0'?>\n<!-- x -->\n<HTML lang=en>", "a.txt", "html", True),
        (codecs.BOM_UTF8 + b"<!doctype html>", "a.htm", "html", False),
        (codecs.BOM_UTF16_LE + "<html>".encode("utf-16-le"), "a", "html", False),
        (b"<p>A piece of a page", "a.html", "html", False),
        (b"no tags at all, 1 < 2", "a.html", "text", True),
        (b"<!-- a - b -- c --> <!----> <!DOCTYPE html>", "a", "html", False),
        # Nothing in them but comments: the ways to read them must not multiply.
        (b"<!-- x -->" * 90 + b"<svg>", "a.xml", "text", False),
        (b"<!---->" * 130 + b"<!--", "a", "text", False),
    ],
)
def test_content_decides(data: bytes, name: str, kind: str, warned: bool) -> None:
    sniffed = sniff(data, name, "auto")
    assert (sniffed.kind, [notice.code for notice in sniffed.notices]) == (kind, ["extension_mismatch"] * warned)


@pytest.mark.parametrize(
    ("data", "name", "input_format", "code"),
    [
        (b"", "a.txt", "auto", "empty_file"),
        (b"", "a.pdf", "pdf", "empty_file"),
        (b"PK\x03\x04....", "a.docx", "auto", "corrupt_file"),
        (b"PK\x03\x04....", "a.txt", "text", "corrupt_file"),
        (zip_of({"a.txt": "x"}), "a.zip", "auto", "unsupported_format"),
        (zip_of({"a.txt": "x"}), "a.docx", "docx", "unsupported_format"),
        (zip_of({"mimetype": "application/vnd.oasis.opendocument.graphics"}), "a.odg", "auto", "unsupported_format"),
        (DOCX, "a.docx", "html", "unsupported_format"),
        (b"text", "a.docx", "docx", "corrupt_file"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 E\0n\0c\0", "a.doc", "auto", "unsupported_format"),
        (b"\x89PNG\r\n\x1a\n...", "a.png", "auto", "unsupported_format"),
        (b"%PDF-1.4", "a.pdf", "text", "unsupported_format"),
        (b"no pdf", "a.pdf", "pdf", "corrupt_file"),
    ],
)
def test_refused_by_content(data: bytes, name: str, input_format: InputFormat, code: str) -> None:
    assert code_of_sniff(data, name, input_format) == code


def test_what_the_caller_says_chooses_between_texts() -> None:
    assert sniff(b"# x", "a.txt", "markdown").kind == "markdown"
    assert sniff(b"<html>", "a.html", "text").kind == "text"
    assert sniff(b"no tags", "a.txt", "html").kind == "html"


def test_parser_chooses_too() -> None:
    assert sniff(b"<html>", "a.html", "auto", "text").kind == "text"
    assert sniff(b"<html>", "a.html", "auto", "html").kind == "html"
    assert sniff(DOCX, "a.docx", "auto", "mammoth").kind == "docx"
    for data, parser in ((DOCX, "pdfium"), (b"%PDF-1.7", "mammoth"), (b"text", "html"), (b"%PDF-1.7", "text")):
        assert code_of_sniff(data, "a", "auto", parser) == "unsupported_format"


def test_inline_text_is_text() -> None:
    assert sniff_inline(b"%PDF-1.4", "note", "auto").kind == "text"
    assert sniff_inline(b"x", "note.md", "auto").kind == "markdown"
    assert sniff_inline(b"<p>x", "note.html", "auto").kind == "html"
    assert sniff_inline(b"<p>x", "note", "html").kind == "html"
    with pytest.raises(DocumentError, match="zero bytes"):
        sniff_inline(b"", "note", "auto")


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (GERMAN.encode("utf-8"), "utf-8"),
        (codecs.BOM_UTF8 + GERMAN.encode("utf-8"), "utf-8"),
        (codecs.BOM_UTF16_LE + GERMAN.encode("utf-16-le"), "utf-16-le"),
        (codecs.BOM_UTF16_BE + GERMAN.encode("utf-16-be"), "utf-16-be"),
        (codecs.BOM_UTF32_LE + GERMAN.encode("utf-32-le"), "utf-32-le"),
        (codecs.BOM_UTF32_BE + GERMAN.encode("utf-32-be"), "utf-32-be"),
        (GERMAN.encode("cp1252"), "cp1252"),
    ],
)
def test_encoding_is_found(data: bytes, encoding: str) -> None:
    decoded = decode(data, None)
    assert (decoded.text, decoded.encoding, decoded.notices) == (GERMAN, encoding, [])


@pytest.mark.parametrize(("encoding", "name"), [("shift_jis", "cp932"), ("euc_jp", "euc_jp")])
def test_japanese_is_found(encoding: str, name: str) -> None:
    decoded = decode(JAPANESE.encode(encoding), None)
    assert (decoded.text, decoded.encoding) == (JAPANESE, name)


def test_encoding_of_the_caller_wins() -> None:
    assert decode("Žluťoučký kůň".encode("iso8859-2"), "iso8859-2").text == "Žluťoučký kůň"
    assert decode("no mark".encode("utf-16-le"), "utf-16-le").text == "no mark"
    assert decode(codecs.BOM_UTF8 + b"marked", "utf-8").text == "marked"


def test_encoding_that_the_document_declares() -> None:
    assert decode(GERMAN.encode("cp1252"), None, "ISO-8859-1").encoding == "cp1252"
    japanese = JAPANESE.encode("iso2022_jp")
    assert decode(japanese, None, "iso-2022-jp").text == JAPANESE
    # It may be wrong, unknown or none at all, and the caller and the mark know better.
    for label in ("ascii-art", "hex", "utf-16", "euc-jp", None):
        assert decode(GERMAN.encode(), None, label).text == GERMAN
    assert decode(codecs.BOM_UTF8 + GERMAN.encode(), None, "cp1252").text == GERMAN
    assert decode(GERMAN.encode(), "utf-8", "cp1252").text == GERMAN


def test_undecodable_places_are_counted() -> None:
    decoded = decode(b"a\xffb\xfec", "utf-8")
    assert decoded.text == "a\ufffdb\ufffdc"
    assert [(notice.code, notice.count) for notice in decoded.notices] == [("decode_errors", 2)]


def test_one_damaged_place_does_not_change_the_encoding() -> None:
    decoded = decode(GERMAN.encode() + b"\xff" + GERMAN.encode(), None)
    assert (decoded.text, decoded.encoding) == (f"{GERMAN}\ufffd{GERMAN}", "utf-8")
    assert decoded.notices[0].count == 1


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (b"text with a NUL \0 in it", None),
        (b"\1\2\3 little text", None),
        ("no mark".encode("utf-16-le"), None),
        (codecs.BOM_UTF16_LE + b"\1\0" * 50, None),
        (bytes(range(32)) * 4, "latin-1"),
    ],
)
def test_binary(data: bytes, encoding: str | None) -> None:
    with pytest.raises(DocumentError) as caught:
        decode(data, encoding)
    assert caught.value.code == "binary_content"


def test_nul_byte_far_behind_is_no_reason() -> None:
    assert decode(b"x" * 9000 + b"\0", None).text.endswith("\0")


@given(st.text(st.characters(), max_size=200))
def test_normal_form(text: str) -> None:
    normal = normalise(text)
    assert "\r" not in normal
    assert unicodedata.is_normalized("NFC", normal)
    assert normal.encode("utf-8").decode("utf-8") == normal
    assert normal.startswith("\ufeff") or normalise(normal) == normal


def test_normal_form_of_known_texts() -> None:
    assert normalise("\ufeffa\r\nb\rc\n") == "a\nb\nc\n"
    assert normalise("e\u0301") == "é"
    assert normalise("\ud800") == "?"


MARKDOWN = """---
title: none
---
# One #
text # no heading
#also none

## Two ##

```
# code
~~~
```

Under
lined
=====

Second
------

- item
---

> quote
===

    # indented code
   ### C#
#
####### seven
~~~ python
# code until the end
"""


def test_markdown_headings() -> None:
    found = find_headings(MARKDOWN)
    assert [(heading.level, heading.title) for heading in found] == [
        (1, "One"),
        (2, "Two"),
        (1, "Under lined"),
        (2, "Second"),
        (3, "C#"),
    ]
    starts = [MARKDOWN[heading.start :].split("\n")[0] for heading in found]
    assert starts == ["# One #", "## Two ##", "Under", "Second", "   ### C#"]


def test_rule_in_front_is_no_front_matter() -> None:
    assert [heading.title for heading in find_headings("---\n\n# One\n\n---\n")] == ["One"]


@given(st.text(st.sampled_from("# -=`~>\n\ta1.)*<|"), max_size=80))
def test_headings_are_at_their_places(text: str) -> None:
    for heading in find_headings(text):
        first_word = heading.title.split()[0]
        assert first_word in text[heading.start :].split("\n")[0]
        assert heading.start == 0 or text[heading.start - 1] == "\n"

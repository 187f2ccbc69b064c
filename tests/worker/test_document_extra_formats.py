"""document_processing: what xberg reads, which the extra `formats` brings: ODT, PPTX, XLSX, EPUB, RTF and e-mail, and
PDF, DOCX and HTML when it is asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from samples import document_support as support
from samples import make_formats as make
from samples import make_samples
from samples.make_docx import zip_of
from samples.make_formats import MORE, SECTION, TITLE, WORDS

from worker.context import PermanentError
from worker.jobs.document_processing.errors import DocumentError
from worker.jobs.document_processing.markdown import find_headings
from worker.jobs.document_processing.parameters import Parameters
from worker.jobs.document_processing.parse import parse
from worker.jobs.document_processing.parsed import Parsed
from worker.jobs.document_processing.run import run
from worker.jobs.document_processing.sniff import sniff
from worker.jobs.document_processing.task import Limits, Task

MAKERS: dict[str, Callable[[], bytes]] = {
    "odt": make.make_odt,
    "pptx": make.make_pptx,
    "xlsx": make.make_xlsx,
    "epub": make.make_epub,
    "rtf": make.make_rtf,
    "eml": make.make_eml,
}
ZIPPED = ("odt", "pptx", "xlsx", "epub")
BOOK = f"# {TITLE}\n\n{WORDS}\n\n## {SECTION}\n\n{MORE}\n"
FROM = "From: a@example.org\r\nSubject: s\r\nMIME-Version: 1.0\r\nContent-Type: "


def task(name: str, **values: Any) -> Task:
    limits = Limits(bytes=10**8, pages=1000, characters=10**7)
    given = {"input_format": "auto", "parser": "auto", "pages": None, "password": None, "strip_boilerplate": True}
    fixed = {"index": 1, "name": name, "source": {}, "path": name, "text": None, "input_root": "", "folder": ""}
    return Task(**{**fixed, **given, "text_file": "", "marks_file": "", "encoding": None, "limits": limits, **values})


def read(data: bytes, name: str, **values: Any) -> Parsed:
    told = task(name, **values)
    return parse(data, sniff(data, name, told.input_format, told.parser).kind, told, lambda part: None)


def code_of(data: bytes, name: str, **values: Any) -> str:
    with pytest.raises(DocumentError) as caught:
        read(data, name, **values)
    return caught.value.code


def changed(data: bytes, name: str, content: bytes | None) -> bytes:
    """With another content of that entry, or without it."""
    with zipfile.ZipFile(BytesIO(data)) as archive:
        entries: dict[str, str | bytes] = {entry: archive.read(entry) for entry in archive.namelist()}
    entries.pop(name)
    return zip_of(entries if content is None else {**entries, name: content})


@pytest.mark.parametrize(
    ("kind", "text", "titles"),
    [
        ("odt", BOOK, [TITLE, SECTION]),
        ("epub", BOOK, [TITLE, SECTION]),
        ("pptx", f"## {TITLE}\n\n{WORDS}\n", [TITLE]),
        ("xlsx", "## Tides\n\n| Place | Height |\n| --- | --- |\n| Brest | 7.9 |\n| Cuxhaven | 3.6 |\n", [TITLE]),
        ("rtf", f"{TITLE}\n\n{WORDS}\n\n{MORE}\n", []),
    ],
)
def test_words_and_headings_arrive(kind: str, text: str, titles: list[str]) -> None:
    parsed = read(MAKERS[kind](), f"a.{kind}")
    assert (parsed.text, parsed.type, parsed.parser, parsed.notices) == (text, kind, "xberg", [])
    assert [heading.title for heading in parsed.headings] == titles


def test_a_message_arrives_with_its_header() -> None:
    text = read(make.make_eml(), "a.eml").text
    assert "**Subject**: Tides\n" in text and "Ann <ann@example.org>" in text and text.endswith(f"{WORDS}\n\n{MORE}\n")


def test_one_job_reads_all_kinds_and_cuts_them_exactly(tmp_path: Path) -> None:
    """In the document process, under its limits, by content and not by name."""
    root = tmp_path / "input"
    root.mkdir()
    for kind, maker in MAKERS.items():
        (root / f"a.{kind}").write_bytes(maker())
    (root / "odd.txt").write_bytes(make.make_odt())
    documents = [{"path": f"a.{kind}"} for kind in MAKERS] + [{"path": "odd.txt"}]
    given = {"documents": documents, "chunk_strategy": "heading", "min_chunk_chars": 0}
    result = run(support.FakeContext(tmp_path / "job", root), Parameters.model_validate(given))
    assert result["by_type"] == {"eml": 1, "epub": 1, "odt": 2, "pptx": 1, "rtf": 1, "xlsx": 1}
    chunks = support.read_lines(tmp_path / "job" / "chunks.jsonl")
    for document, text in support.texts_of(tmp_path / "job").items():
        support.check_chunks(text, [chunk for chunk in chunks if chunk["document_id"] == document])
    assert next(chunk["headings"] for chunk in chunks if chunk["text"].endswith(MORE)) == [TITLE, SECTION]
    records = support.read_lines(tmp_path / "job" / "documents.jsonl")
    assert [warning["code"] for warning in records[-1]["warnings"]] == ["extension_mismatch"]
    assert json.loads((tmp_path / "job" / "manifest.json").read_text())["versions"]["xberg"]


@pytest.mark.parametrize("kind", list(MAKERS))
def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setitem(sys.modules, "xberg", None)
    with pytest.raises(DocumentError, match="the extra 'formats'") as caught:
        read(MAKERS[kind](), f"a.{kind}")
    assert (caught.value.code, caught.value.stage) == ("unsupported_format", "sniff")


def test_marks_of_the_text_itself_stay_and_make_no_headings() -> None:
    words = "a_b *c* # d 1. e! `f` C:\\dir \\# g | h &lt;tag&gt; [i](j)"
    body = "".join(f"<text:p>{text}</text:p>" for text in (words, "# no heading"))
    parsed = read(make.make_odt(f'{body}<text:h text:outline-level="1">Why # and \\?</text:h>'), "a.odt")
    plain = words.replace("&lt;", "<").replace("&gt;", ">")
    assert parsed.text == f"{plain}\n\n# no heading\n\n# Why # and \\?\n"
    (heading,) = parsed.headings
    assert parsed.text[heading.start : heading.end] == "# Why # and \\?\n" and heading.title == "Why # and \\?"


def test_links_become_their_words() -> None:
    link = '<text:a xlink:href="https://example.org/x" xmlns:xlink="http://www.w3.org/1999/xlink">the words</text:a>'
    assert read(make.make_odt(f"<text:p>see {link} there</text:p>"), "a.odt").text == "see the words there\n"
    page = '<p>see <a href="http://example.org/">the words</a> <img src="http://example.org/a.png" alt="x"/></p>'
    assert read(make.make_epub(page), "a.epub").text.strip() == "see the words"
    html = f'{FROM}text/html\r\n\r\n<p>é</p><p>see <a href="http://example.org">the words</a></p>'.encode()
    assert read(html, "a.eml").text.endswith("see the words\n")


def test_parts_of_a_message() -> None:
    parts = [
        "text/html\r\n\r\n<h2>Head</h2><p>html words</p>",
        "text/plain\r\nContent-Disposition: attachment\r\n\r\nx",
    ]
    body = "".join(f"--X\r\nContent-Type: {part}\r\n" for part in parts)
    parsed = read(f"{FROM}multipart/mixed; boundary=X\r\n\r\n{body}--X--\r\n".encode(), "a.eml")
    assert "html words" in parsed.text and [heading.title for heading in parsed.headings] == ["Head"]


def test_a_message_is_one_by_its_name_and_header() -> None:
    data = make.make_eml()
    assert sniff(data, "a.eml", "auto").kind == "eml" and sniff(data, "A.EML", "auto").kind == "eml"
    assert sniff(data, "a.txt", "auto").kind == "text" and sniff(data, "a.txt", "eml").kind == "eml"
    assert sniff(data, "a.eml", "text").kind == "text" and sniff(data, "a.eml", "auto", "text").kind == "text"
    for other in (b"Note: words\n\nmore", b"just words", b"To: do\n\nSubject: x"):
        assert sniff(other, "a.eml", "auto").kind == "text"
        assert code_of(other, "a.eml", input_format="eml") == "corrupt_file"


@pytest.mark.parametrize("kind", list(MAKERS))
def test_asked_for_something_else(kind: str) -> None:
    other = "epub" if kind == "odt" else "odt"
    assert code_of(MAKERS[kind](), f"a.{kind}", input_format=other) == "corrupt_file"
    assert code_of(MAKERS[kind](), f"a.{kind}", parser="mammoth") == "unsupported_format" or kind == "eml"


@pytest.mark.parametrize("kind", ZIPPED)
def test_damaged_archives(kind: str) -> None:
    data = MAKERS[kind]()
    assert code_of(data[: len(data) // 2], f"a.{kind}") == "corrupt_file"
    assert code_of(b"", f"a.{kind}") == "empty_file"
    main = {"odt": "content.xml", "epub": "book.opf", "pptx": "ppt/slides/slide1.xml", "xlsx": "xl/workbook.xml"}[kind]
    for content in (b"<broken <<", bytes(range(256))):
        assert code_of(changed(data, main, content), f"a.{kind}") == "corrupt_file"


def test_damaged_texts() -> None:
    assert code_of(make.make_rtf()[:30], "a.rtf") == "corrupt_file"
    assert code_of(b"{\\rtf" + bytes(range(256)) * 20 + b"}", "a.rtf") == "corrupt_file"
    cut = read(make.make_rtf()[:-20], "a.rtf")
    assert WORDS in cut.text and [notice.code for notice in cut.notices] == ["truncated"]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.odt", make.make_odt("")),
        ("a.epub", make.make_epub("")),
        ("a.pptx", make.make_pptx("", "")),
        ("a.xlsx", make.make_xlsx([])),
        ("a.rtf", make.make_rtf("")),
        ("a.eml", make.make_eml("").replace(b"Subject: Tides\r\n", b"")),
    ],
)
def test_without_words(name: str, data: bytes) -> None:
    assert code_of(data, name) == "no_text"


def test_a_chapter_that_cannot_be_read_is_told() -> None:
    parsed = read(changed(make.make_epub(), "c0.xhtml", None), "a.epub")
    assert MORE in parsed.text and [notice.code for notice in parsed.notices] == ["content_ignored"]


CIPHER = '<encryption><CipherReference URI="{}"/></encryption>'


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.odt", changed(make.make_odt(), "META-INF/manifest.xml", b"<m:encryption-data/>")),
        ("a.epub", zip_of({"mimetype": "application/epub+zip", "META-INF/encryption.xml": CIPHER.format("a.xhtml")})),
        ("a.xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le")),
        ("a.eml", f"{FROM}multipart/encrypted; boundary=X\r\n\r\n--X--".encode()),
        ("b.eml", f"{FROM}application/pkcs7-mime; smime-type=enveloped-data\r\n\r\nMII=".encode()),
    ],
)
def test_encrypted(name: str, data: bytes) -> None:
    assert code_of(data, name) == "encrypted"


def test_ciphered_fonts_are_no_matter() -> None:
    with zipfile.ZipFile(BytesIO(make.make_epub())) as archive:
        entries: dict[str, str | bytes] = {name: archive.read(name) for name in archive.namelist()}
    entries["META-INF/encryption.xml"] = CIPHER.format("fonts/a.otf")
    assert read(zip_of(entries), "a.epub").text == BOOK


@pytest.mark.parametrize("kind", ZIPPED)
def test_bombs_are_not_opened(kind: str) -> None:
    with zipfile.ZipFile(BytesIO(MAKERS[kind]())) as archive:
        entries: dict[str, str | bytes] = {name: archive.read(name) for name in archive.namelist()}
    bomb = zip_of({**entries, "bomb": bytes(10_000_000)}, zipfile.ZIP_DEFLATED)
    assert code_of(bomb, f"a.{kind}") == "archive_bomb"


def test_entities_stay_outside() -> None:
    for declared in ('<!ENTITY e SYSTEM "file:///etc/passwd">', '<!ENTITY a "ha"><!ENTITY e "&a;&a;&a;">'):
        with zipfile.ZipFile(BytesIO(make.make_odt("<text:p>x&e;y</text:p>"))) as archive:
            content = f"<!DOCTYPE x [{declared}]>".encode() + archive.read("content.xml")
        with pytest.raises(DocumentError) as caught:
            read(changed(make.make_odt(), "content.xml", content), "a.odt")
        assert caught.value.code == "corrupt_file" and "root" not in str(caught.value)


@pytest.mark.parametrize("name", list(make_samples.SOURCES))
def test_xberg_reads_the_other_kinds_when_asked(name: str) -> None:
    if name.rpartition(".")[2] not in ("pdf", "docx", "html"):
        assert code_of(make_samples.make(name), name, parser="xberg") == "unsupported_format"
        return
    parsed = read(make_samples.make(name), name, parser="xberg")
    source = [heading.title for heading in find_headings(make_samples.source_of(name).replace("*", ""))]
    found = [heading.title for heading in parsed.headings]
    assert parsed.parser == "xberg" and len([title for title in source if title in found]) >= 0.8 * len(source)
    assert all(parsed.text[heading.start] == "#" for heading in parsed.headings)


def test_pages_of_a_pdf() -> None:
    data = support.make_pdf(["page one", "more"], [], ["page three"], ["page four"])
    parsed = read(data, "a.pdf", parser="xberg")
    assert (parsed.pages, parsed.page_starts) == (4, [0, 15, 15, 27]) and parsed.text[15:].startswith("page three")
    some = read(data, "a.pdf", parser="xberg", pages="2-3,9")
    assert (some.text, some.page_starts, some.pages) == ("page three\n\n", [0, 0, 0, 12], 2)
    assert [notice.code for notice in some.notices] == ["pages_beyond_end"]
    assert code_of(data, "a.pdf", parser="xberg", pages="2") == "no_text_layer"
    assert code_of(data, "a.pdf", parser="xberg", limits=Limits(10**8, 3, 10**7)) == "too_many_pages"
    assert code_of(b"%PDF-1.7 junk", "a.pdf", parser="xberg") == "corrupt_file"


def test_passwords_of_a_pdf() -> None:
    data = support.encrypted_pdf("secret words", "sesame")
    assert code_of(data, "a.pdf", parser="xberg") == "encrypted"
    assert code_of(data, "a.pdf", parser="xberg", password="wrong") == "encrypted"
    assert read(data, "a.pdf", parser="xberg", password="sesame").text == "secret words\n\n"


def test_a_page_in_another_encoding() -> None:
    page = '<html><head><meta charset="cp1252"><title>T</title></head><body><nav>menu</nav><h1>Fluß</h1><p>für fünf €'
    parsed = read(page.encode("cp1252"), "a.html", parser="xberg")
    assert (parsed.text, parsed.encoding) == ("# Fluß\n\nfür fünf €\n", "cp1252")


def test_all_documents_may_fail_and_the_job_says_why(tmp_path: Path) -> None:
    (tmp_path / "a.odt").write_bytes(b"PK\x03\x04 junk")
    given = {"documents": [{"path": "a.odt"}], "parser": "xberg"}
    with pytest.raises(PermanentError, match="corrupt_file") as caught:
        run(support.FakeContext(tmp_path / "job", tmp_path), Parameters.model_validate(given))
    assert caught.value.code == "no_documents_parsed"


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    """No cache, no models: an empty home stays empty."""
    code = (
        "from samples.make_formats import make_epub; from test_document_extra_formats import read\n"
        "print(len(read(make_epub(), 'a.epub').text) > 100)\n"
    )
    places = [str(Path(__file__).parent), *sys.path]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(places), "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    env |= {"TMPDIR": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    told = subprocess.run([sys.executable, "-c", code], env=env, cwd=tmp_path, capture_output=True, text=True)
    assert told.stdout == "True\n", told.stderr
    assert list(tmp_path.iterdir()) == []

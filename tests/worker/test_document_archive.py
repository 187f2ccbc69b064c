"""document_processing: which office document an archive is, told by its main part."""

from __future__ import annotations

import pytest
from samples.make_docx import CONTENT_TYPES, docx_of_body, paragraph, zip_of

from worker.jobs.document_processing.archive import recognise_archive
from worker.jobs.document_processing.formats import NAMES, Kind

WORD = ("docx", "a Word document")
OFFICE = "application/vnd.openxmlformats-officedocument"
EMBEDDED = "".join(
    f'<Default Extension="{suffix}" ContentType="{OFFICE}.{kind}"/>'
    for suffix, kind in (
        ("docx", "wordprocessingml.document"),
        ("xlsx", "spreadsheetml.sheet"),
        ("pptx", "presentationml.presentation"),
    )
)


def types(main: str) -> str:
    return f'<Types>{EMBEDDED}<Override PartName="/main.xml" ContentType="{main}"/></Types>'


@pytest.mark.parametrize(
    ("main", "kind"),
    [
        (f"{OFFICE}.wordprocessingml.document.main+xml", "docx"),
        (f"{OFFICE}.wordprocessingml.template.main+xml", "docx"),
        ("application/vnd.ms-word.document.macroEnabled.main+xml", "docx"),
        ("application/vnd.ms-word.template.macroEnabledTemplate.main+xml", "docx"),
        (f"{OFFICE}.presentationml.presentation.main+xml", "pptx"),
        (f"{OFFICE}.presentationml.slideshow.main+xml", "pptx"),
        ("application/vnd.ms-powerpoint.presentation.macroEnabled.main+xml", "pptx"),
        (f"{OFFICE}.spreadsheetml.sheet.main+xml", "xlsx"),
        ("application/vnd.ms-excel.sheet.macroEnabled.main+xml", "xlsx"),
    ],
)
def test_main_part_decides_and_not_what_is_embedded(main: str, kind: Kind) -> None:
    for quotes in (types(main), types(main).replace('"', "'")):
        assert recognise_archive(zip_of({"[Content_Types].xml": quotes})) == (kind, NAMES[kind])


def test_main_part_may_be_of_the_default_type() -> None:
    named = f'<Types><Default Extension="xml" ContentType = "{OFFICE}.wordprocessingml.document.main+xml"/></Types>'
    assert recognise_archive(zip_of({"[Content_Types].xml": named})) == WORD


def test_types_without_a_main_part_are_taken_as_a_whole() -> None:
    assert recognise_archive(zip_of({"[Content_Types].xml": "a wordprocessingml b"})) == WORD
    assert recognise_archive(zip_of({"[Content_Types].xml": "spreadsheetml"})) == ("xlsx", "an Excel workbook")
    assert recognise_archive(zip_of({"a.txt": "x"})) == (None, "a ZIP archive")


def test_types_in_utf_16() -> None:
    data = CONTENT_TYPES.replace("UTF-8", "UTF-16").encode("utf-16")
    assert recognise_archive(zip_of({"[Content_Types].xml": data})) == WORD
    assert recognise_archive(docx_of_body(paragraph("x"))) == WORD


@pytest.mark.parametrize(
    ("entries", "kind"),
    [
        ({"mimetype": "application/vnd.oasis.opendocument.text"}, "odt"),
        ({"mimetype": "application/vnd.oasis.opendocument.spreadsheet"}, None),
        ({"mimetype": "application/epub+zip"}, "epub"),
        ({"[Content_Types].xml": types("application/vnd.ms-excel.sheet.binary.macroEnabled.main")}, None),
    ],
)
def test_other_kinds_are_told_apart(entries: dict[str, str | bytes], kind: Kind | None) -> None:
    assert recognise_archive(zip_of(entries))[0] == kind

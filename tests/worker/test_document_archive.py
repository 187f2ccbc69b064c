"""document_processing: which office document an archive is, told by its main part."""

from __future__ import annotations

import pytest
from samples.make_docx import CONTENT_TYPES, docx_of_body, paragraph, zip_of

from worker.jobs.document_processing.archive import WORD, recognise_archive

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
    ("main", "what"),
    [
        (f"{OFFICE}.wordprocessingml.document.main+xml", WORD),
        (f"{OFFICE}.wordprocessingml.template.main+xml", WORD),
        ("application/vnd.ms-word.document.macroEnabled.main+xml", WORD),
        ("application/vnd.ms-word.template.macroEnabledTemplate.main+xml", WORD),
        (f"{OFFICE}.presentationml.presentation.main+xml", "a PowerPoint presentation"),
        (f"{OFFICE}.presentationml.slideshow.main+xml", "a PowerPoint presentation"),
        ("application/vnd.ms-powerpoint.presentation.macroEnabled.main+xml", "a PowerPoint presentation"),
        (f"{OFFICE}.spreadsheetml.sheet.main+xml", "an Excel workbook"),
        ("application/vnd.ms-excel.sheet.macroEnabled.main+xml", "an Excel workbook"),
        ("application/vnd.ms-excel.sheet.binary.macroEnabled.main", "an Excel workbook"),
    ],
)
def test_main_part_decides_and_not_what_is_embedded(main: str, what: str) -> None:
    for quotes in (types(main), types(main).replace('"', "'")):
        assert recognise_archive(zip_of({"[Content_Types].xml": quotes})) == what


def test_main_part_may_be_of_the_default_type() -> None:
    named = f'<Types><Default Extension="xml" ContentType = "{OFFICE}.wordprocessingml.document.main+xml"/></Types>'
    assert recognise_archive(zip_of({"[Content_Types].xml": named})) == WORD


def test_types_without_a_main_part_are_taken_as_a_whole() -> None:
    assert recognise_archive(zip_of({"[Content_Types].xml": "a wordprocessingml b"})) == WORD
    assert recognise_archive(zip_of({"[Content_Types].xml": "spreadsheetml"})) == "an Excel workbook"
    assert recognise_archive(zip_of({"a.txt": "x"})) == "a ZIP archive"


def test_types_in_utf_16() -> None:
    data = CONTENT_TYPES.replace("UTF-8", "UTF-16").encode("utf-16")
    assert recognise_archive(zip_of({"[Content_Types].xml": data})) == WORD
    assert recognise_archive(docx_of_body(paragraph("x"))) == WORD

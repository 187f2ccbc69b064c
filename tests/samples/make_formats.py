"""Small documents of the kinds that the extra `formats` reads, each with the same title and the same words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from samples.make_docx import zip_of

TITLE = "Tides"
WORDS = "The moon pulls the water, and the water follows it."
SECTION = "Harbours"
MORE = "A harbour that falls dry at low water is entered at high water only."

_OFFICE = "http://schemas.openxmlformats.org"
_MAIN = "application/vnd.openxmlformats-officedocument"


def make_odt(body: str | None = None) -> bytes:
    told = body if body is not None else f"{_odt_heading(1, TITLE)}{_p(WORDS)}{_odt_heading(2, SECTION)}{_p(MORE)}"
    spaces = 'xmlns:{0}="urn:oasis:names:tc:opendocument:xmlns:{0}:1.0"'
    names = " ".join(spaces.format(name) for name in ("office", "text", "table"))
    content = f"<office:document-content {names}><office:body><office:text>{told}</office:text></office:body>"
    mimetype = "application/vnd.oasis.opendocument.text"
    manifest = (
        f'<m:manifest xmlns:m="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0">'
        f'<m:file-entry m:full-path="/" m:media-type="{mimetype}"/>'
        f'<m:file-entry m:full-path="content.xml" m:media-type="text/xml"/></m:manifest>'
    )
    return zip_of(
        {
            "mimetype": mimetype,
            "content.xml": f"{content}</office:document-content>",
            "META-INF/manifest.xml": manifest,
        }
    )


def make_epub(*chapters: str) -> bytes:
    """`chapters`: what is in the body of each."""
    bodies = chapters or (f"<h1>{TITLE}</h1><p>{WORDS}</p>", f"<h2>{SECTION}</h2><p>{MORE}</p>")
    numbers = range(len(bodies))
    items = "".join(f'<item id="c{n}" href="c{n}.xhtml" media-type="application/xhtml+xml"/>' for n in numbers)
    spine = "".join(f'<itemref idref="c{n}"/>' for n in numbers)
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="id">'
        '<metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:identifier id="id">x</dc:identifier>'
        f"<dc:title>{TITLE}</dc:title><dc:language>en</dc:language></metadata>"
        f"<manifest>{items}</manifest><spine>{spine}</spine></package>"
    )
    container = (
        '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0"><rootfiles>'
        '<rootfile full-path="book.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
    )
    page = '<html xmlns="http://www.w3.org/1999/xhtml"><head><title>t</title></head><body>{}</body></html>'
    pages = {f"c{n}.xhtml": page.format(body) for n, body in enumerate(bodies)}
    first: dict[str, str | bytes] = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": container,
        "book.opf": package,
    }
    return zip_of({**first, **pages})


def make_pptx(title: str = TITLE, words: str = WORDS) -> bytes:
    rel = f"{_OFFICE}/officeDocument/2006/relationships"
    spaces = f'xmlns:p="{_OFFICE}/presentationml/2006/main" xmlns:a="{_OFFICE}/drawingml/2006/main"'
    slide = (
        f"<p:sld {spaces}><p:cSld><p:spTree>{_shape('title', title)}{_shape('body', words)}</p:spTree></p:cSld></p:sld>"
    )
    presentation = (
        f'<p:presentation xmlns:p="{_OFFICE}/presentationml/2006/main" xmlns:r="{rel}">'
        '<p:sldIdLst><p:sldId id="256" r:id="rId1"/></p:sldIdLst></p:presentation>'
    )
    return zip_of(
        {
            "[Content_Types].xml": _content_types(
                {
                    "ppt/presentation.xml": f"{_MAIN}.presentationml.presentation.main+xml",
                    "ppt/slides/slide1.xml": f"{_MAIN}.presentationml.slide+xml",
                }
            ),
            "_rels/.rels": _relations({"rId1": (f"{rel}/officeDocument", "ppt/presentation.xml")}),
            "ppt/presentation.xml": presentation,
            "ppt/_rels/presentation.xml.rels": _relations({"rId1": (f"{rel}/slide", "slides/slide1.xml")}),
            "ppt/slides/slide1.xml": slide,
        }
    )


def make_xlsx(rows: Sequence[Sequence[str]] | None = None, sheet: str = TITLE) -> bytes:
    rel = f"{_OFFICE}/officeDocument/2006/relationships"
    told = [["Place", "Height"], ["Brest", "7.9"], ["Cuxhaven", "3.6"]] if rows is None else rows
    cells = "".join(
        f'<row r="{row}">'
        + "".join(
            f'<c r="{chr(64 + n)}{row}" t="inlineStr"><is><t>{text}</t></is></c>' for n, text in enumerate(line, 1)
        )
        + "</row>"
        for row, line in enumerate(told, 1)
    )
    space = f"{_OFFICE}/spreadsheetml/2006/main"
    return zip_of(
        {
            "[Content_Types].xml": _content_types(
                {
                    "xl/workbook.xml": f"{_MAIN}.spreadsheetml.sheet.main+xml",
                    "xl/worksheets/sheet1.xml": f"{_MAIN}.spreadsheetml.worksheet+xml",
                }
            ),
            "_rels/.rels": _relations({"rId1": (f"{rel}/officeDocument", "xl/workbook.xml")}),
            "xl/workbook.xml": f'<workbook xmlns="{space}" xmlns:r="{rel}"><sheets><sheet name="{sheet}" sheetId="1" '
            'r:id="rId1"/></sheets></workbook>',
            "xl/_rels/workbook.xml.rels": _relations({"rId1": (f"{rel}/worksheet", "worksheets/sheet1.xml")}),
            "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{space}"><sheetData>{cells}</sheetData></worksheet>',
        }
    )


def make_rtf(body: str | None = None) -> bytes:
    told = body if body is not None else rf"{TITLE}\par {WORDS}\par {MORE}\par "
    return rf"{{\rtf1\ansi\ansicpg1252\deff0{{\fonttbl{{\f0 Arial;}}}}\f0\fs24 {told}}}".encode("ascii")


def make_eml(body: str = f"{WORDS}\r\n\r\n{MORE}\r\n") -> bytes:
    head = (
        "From: Ann <ann@example.org>\r\nTo: Ben <ben@example.org>\r\nSubject: " + TITLE + "\r\n"
        "Date: Mon, 03 Jan 2000 10:00:00 +0000\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
    )
    return (f"{head}\r\n{body}").encode()


def _p(words: str) -> str:
    return f"<text:p>{words}</text:p>"


def _odt_heading(level: int, title: str) -> str:
    return f'<text:h text:outline-level="{level}">{title}</text:h>'


def _shape(kind: str, words: str) -> str:
    return (
        f'<p:sp><p:nvSpPr><p:cNvPr id="2" name="{kind}"/><p:cNvSpPr/><p:nvPr><p:ph type="{kind}"/></p:nvPr></p:nvSpPr>'
        f"<p:spPr/><p:txBody><a:bodyPr/><a:p><a:r><a:t>{words}</a:t></a:r></a:p></p:txBody></p:sp>"
    )


def _content_types(parts: Mapping[str, str]) -> str:
    rows = "".join(f'<Override PartName="/{name}" ContentType="{kind}"/>' for name, kind in parts.items())
    return (
        '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Default Extension="xml" ContentType="application/xml"/>{rows}</Types>'
    )


def _relations(targets: Mapping[str, tuple[str, str]]) -> str:
    rows = "".join(f'<Relationship Id="{i}" Type="{kind}" Target="{to}"/>' for i, (kind, to) in targets.items())
    return f'<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">{rows}</Relationships>'

"""A Word document out of a sample's source: a ZIP of XML, written by hand, with the same bytes on every machine."""

from __future__ import annotations

import io
import zipfile
from xml.sax.saxutils import escape

from samples.make_blocks import Block, Item, blocks

_MAIN = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml"
_HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'

CONTENT_TYPES = (
    f'{_HEAD}<Types xmlns="{_PACKAGE}/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    f'<Override PartName="/word/document.xml" ContentType="{_WORD}.document.main+xml"/>'
    f'<Override PartName="/word/styles.xml" ContentType="{_WORD}.styles+xml"/>'
    f'<Override PartName="/word/numbering.xml" ContentType="{_WORD}.numbering+xml"/></Types>'
)
PACKAGE_RELATIONSHIPS = (
    f'{_HEAD}<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{_OFFICE}/officeDocument" Target="word/document.xml"/></Relationships>'
)
DOCUMENT_RELATIONSHIPS = (
    f'{_HEAD}<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{_OFFICE}/styles" Target="styles.xml"/>'
    f'<Relationship Id="rId2" Type="{_OFFICE}/numbering" Target="numbering.xml"/>%s</Relationships>'
)


def make_docx(markdown: str) -> bytes:
    """A lone heading of the first level becomes the title, and those below move up by one, as people write in Word."""
    found = list(blocks(markdown))
    titled = sum(block.level == 1 for block in found) == 1
    return docx_of_body("".join(_block(block, titled=titled) for block in found))


def docx_of_body(body: str, *, relationships: str = "", head: str = _HEAD) -> bytes:
    """A document with this content of `w:body`; `relationships` are further ones of the document."""
    spaces = f'xmlns:w="{_MAIN}" xmlns:r="{_OFFICE}" {_DRAWING}'
    return zip_of(
        {
            "[Content_Types].xml": CONTENT_TYPES,
            "_rels/.rels": PACKAGE_RELATIONSHIPS,
            "word/document.xml": f"{head}<w:document {spaces}><w:body>{body}<w:sectPr/></w:body></w:document>",
            "word/_rels/document.xml.rels": DOCUMENT_RELATIONSHIPS % relationships,
            "word/styles.xml": _styles(),
            "word/numbering.xml": _numbering(),
        }
    )


_DRAWING = (
    'xmlns:wp="http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing" '
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" '
    'xmlns:pic="http://schemas.openxmlformats.org/drawingml/2006/picture"'
)


def zip_of(entries: dict[str, str | bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """Stored as it is by default: compressed bytes differ from one zlib to the next."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in entries.items():
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.create_system, info.compress_type = 0, method
            archive.writestr(info, content)
    return out.getvalue()


def paragraph(text: str, properties: str = "") -> str:
    look = f"<w:pPr>{properties}</w:pPr>" if properties else ""
    return f'<w:p>{look}<w:r><w:t xml:space="preserve">{escape(text)}</w:t></w:r></w:p>'


def _block(block: Block, *, titled: bool) -> str:
    if block.kind == "heading":
        style = "Title" if titled and block.level == 1 else f"Heading{block.level - titled}"
        return paragraph(block.lines[0], f'<w:pStyle w:val="{style}"/>')
    if block.kind == "list":
        return "".join(map(_item, block.items))
    if block.kind == "table":
        return _table(block.rows)
    return "".join(map(paragraph, block.lines))


def _item(item: Item) -> str:
    number = f'<w:numPr><w:ilvl w:val="{item.depth}"/><w:numId w:val="{2 if item.numbered else 1}"/></w:numPr>'
    return paragraph(item.text, number)


def _table(rows: list[list[str]]) -> str:
    made = ""
    for place, row in enumerate(rows):
        look = "<w:trPr><w:tblHeader/></w:trPr>" if place == 0 else ""
        made += f"<w:tr>{look}{''.join(f'<w:tc>{paragraph(cell)}</w:tc>' for cell in row)}</w:tr>"
    return f"<w:tbl><w:tblPr/>{made}</w:tbl>"


def _styles() -> str:
    names = {"Title": "Title"} | {f"Heading{level}": f"heading {level}" for level in range(1, 7)}
    styles = [
        f'<w:style w:type="paragraph" w:styleId="{key}"><w:name w:val="{name}"/></w:style>'
        for key, name in names.items()
    ]
    return f'{_HEAD}<w:styles xmlns:w="{_MAIN}">{"".join(styles)}</w:styles>'


def _numbering() -> str:
    parts = []
    for number, form in enumerate(("bullet", "decimal")):
        levels = [f'<w:lvl w:ilvl="{depth}"><w:numFmt w:val="{form}"/></w:lvl>' for depth in range(9)]
        parts.append(f'<w:abstractNum w:abstractNumId="{number}">{"".join(levels)}</w:abstractNum>')
    uses = [f'<w:num w:numId="{number + 1}"><w:abstractNumId w:val="{number}"/></w:num>' for number in range(2)]
    return f'{_HEAD}<w:numbering xmlns:w="{_MAIN}">{"".join([*parts, *uses])}</w:numbering>'

"""DOCX to the normal form: mammoth makes HTML of it, and that becomes Markdown. For the document process only."""

from __future__ import annotations

import io
import re
from typing import Any
from xml.parsers.expat import ExpatError

import mammoth

from worker.jobs.document_processing.archive import DAMAGE
from worker.jobs.document_processing.errors import DocumentError
from worker.jobs.document_processing.html import to_markdown
from worker.jobs.document_processing.markdown import find_headings
from worker.jobs.document_processing.parsed import Notice, Parsed

_MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
# Breaks to a new page or column would else vanish, and the words around them become one.
_STYLE_MAP = """
p[style-name='Title'] => h1:fresh
br[type='page'] => br
br[type='column'] => br
"""
# mammoth also tells of styles that it does not know, which loses nothing.
_IGNORED = re.compile("An unrecognised element|A w:sym element|Unsupported break")
# mammoth trusts the structure of the file: what is missing or nested too deep fails in the middle of its work.
_DAMAGE = (*DAMAGE, ExpatError, AttributeError, TypeError, ArithmeticError)


def parse_docx(data: bytes) -> Parsed:
    """The archive has been checked before. Raises DocumentError `corrupt_file`."""
    html, ignored = _to_html(data)
    text, notices = to_markdown(html, strip=False)
    notices += ignored
    return Parsed(text, "docx", _MEDIA_TYPE, parser="mammoth", headings=find_headings(text), notices=notices)


def _to_html(data: bytes) -> tuple[str, list[Notice]]:
    try:
        # Nothing in the file may choose files to read, nor how it is read.
        result = mammoth.convert_to_html(
            io.BytesIO(data),
            style_map=_STYLE_MAP,
            convert_image=_no_image,
            include_embedded_style_map=False,
            external_file_access=False,
        )
    except _DAMAGE:
        message = "The document is damaged: its archive is fine, but what is in it is no readable Word document."
        raise DocumentError("corrupt_file", message, stage="parse") from None
    return str(result.value), _ignored([message.message for message in result.messages])


def _ignored(messages: list[str]) -> list[Notice]:
    # Each kind of element is told once, however many there are.
    count = sum(1 for message in messages if _IGNORED.match(message))
    if count == 0:
        return []
    message = f"Elements that are not read, such as formulas, were left out with all that is in them; kinds: {count}."
    return [Notice("content_ignored", message, count)]


def _no_image(image: Any) -> list[Any]:
    return []

"""HTML to the normal form, which is Markdown. For the document process only."""

from __future__ import annotations

import re

import html_to_markdown
from html_to_markdown import ConversionOptions, PreprocessingOptions

from worker.jobs.document_processing.decode import Decoded, decode, normalise
from worker.jobs.document_processing.errors import DocumentError
from worker.jobs.document_processing.markdown import find_headings
from worker.jobs.document_processing.parsed import Notice, Parsed

# Far above what max_document_bytes lets in, even when decoding makes it longer.
_MAX_BYTES = 800_000_000
# What lies deeper is not read: the converter recurses.
_MAX_DEPTH = 1000
_SAMPLE = 4096
_LEAST_LEFT = 0.2
# The blanks give nothing back, so that many of them are not shared out in all possible ways.
_CHARSET = re.compile(
    rb"""<meta\s[^>]*?charset\s*+=\s*+["']?+\s*+([\w.:-]++)|<\?xml\s[^>]*?encoding\s*+=\s*+["']([\w.:-]++)""", re.I
)
# Nothing in them is text of the page, whatever stands around it.
_NEVER = ["iframe", "select", "textarea", "button", "svg", "template", "a.headerlink"]


def parse_html(data: bytes, encoding: str | None, charset: str | None = None, *, strip: bool) -> Parsed:
    """`encoding`: what the caller says. `charset`: what the server says, which counts more than what the page does.

    `strip`: leave out navigation, forms, headers and footers.

    Raises DocumentError `binary_content` or `corrupt_file`.
    """
    decoded = decode_page(data, encoding, charset)
    text, notices = to_markdown(decoded.text, strip=strip)
    if strip:
        text, notices = _or_all(decoded.text, text, notices)
    return Parsed(
        text,
        "html",
        "text/html",
        parser="html",
        encoding=decoded.encoding,
        headings=find_headings(text),
        notices=[*decoded.notices, *notices],
    )


def decode_page(data: bytes, encoding: str | None, charset: str | None = None) -> Decoded:
    """As for `parse_html`. Raises DocumentError `binary_content`."""
    return decode(data, encoding, declared=charset or _declared(data[:_SAMPLE]))


def _or_all(html: str, text: str, notices: list[Notice]) -> tuple[str, list[Notice]]:
    """The text as it is, or all of the page where hardly anything is left: many are one large form, or look so."""
    # The page has hardly more text than source, so that most pages need not be converted twice to know.
    if _size(text) >= _LEAST_LEFT * _size(html):
        return text, notices
    whole, found = to_markdown(html, strip=False)
    if _size(text) >= _LEAST_LEFT * _size(whole):
        return text, notices
    message = "Nearly all of the page's text lies in navigation, forms, headers and footers, so these were kept."
    return whole, [*found, Notice("boilerplate_kept", message)]


def _size(text: str) -> int:
    return sum(map(len, text.split()))


def to_markdown(html: str, *, strip: bool) -> tuple[str, list[Notice]]:
    """Links and images become their words or nothing. Raises DocumentError `corrupt_file`."""
    options = ConversionOptions(
        preprocessing=PreprocessingOptions(
            enabled=strip, preset="aggressive", remove_navigation=strip, remove_forms=strip
        ),
        strip_tags=["a"],
        exclude_selectors=_NEVER,
        bullets="-",
        compact_tables=True,
        autolinks=False,
        expand_abbreviations=False,
        include_blockquote_citations=False,
        extract_metadata=False,
        skip_images=True,
        max_input_size=_MAX_BYTES,
        max_depth=_MAX_DEPTH,
    )
    try:
        result = html_to_markdown.convert(html, options)
    except html_to_markdown.ConversionError:
        message = "The document is damaged: the HTML converter finds no readable page in it."
        raise DocumentError("corrupt_file", message, stage="parse") from None
    return normalise(result.content or ""), [_too_deep()] if result.warnings else []


def _declared(sample: bytes) -> str | None:
    """The encoding that the page names itself. What is plain enough to be found is not UTF-16."""
    match = _CHARSET.search(sample)
    return (match[1] or match[2]).decode("ascii") if match else None


def _too_deep() -> Notice:
    message = f"Parts of the page were left out, because they are nested more than {_MAX_DEPTH:,} levels deep."
    return Notice("nested_too_deep", message)

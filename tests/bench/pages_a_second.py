"""`pages_a_second.py ours|pypdf|markitdown FILE...`: the text of each PDF, by one library, in one process."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable


def ours(file: str) -> int:
    import pypdfium2

    with pypdfium2.PdfDocument(file) as document:
        for page in document:
            page.get_textpage().get_text_bounded()
        return len(document)


def pypdf(file: str) -> int:
    from pypdf import PdfReader  # type: ignore[import-not-found]

    pages = PdfReader(file).pages
    for page in pages:
        page.extract_text()
    return len(pages)


def markitdown(file: str) -> int:
    from markitdown import MarkItDown  # type: ignore[import-not-found]
    from pdfminer.pdfpage import PDFPage  # type: ignore[import-not-found]

    MarkItDown().convert(file)
    with open(file, "rb") as source:
        return sum(1 for _ in PDFPage.get_pages(source))


def main() -> None:
    read: Callable[[str], int] = {"ours": ours, "pypdf": pypdf, "markitdown": markitdown}[sys.argv[1]]
    begun = time.monotonic()
    pages = sum(read(file) for file in sys.argv[2:])
    print(pages / (time.monotonic() - begun))


if __name__ == "__main__":
    main()

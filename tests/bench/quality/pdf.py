"""The words of three manuals' PDFs, as the job type reads them, beside those of their publishers' text editions."""

from __future__ import annotations

import gzip
import re
import tempfile
from collections import Counter
from pathlib import Path
from typing import Final

from bench.quality.corpora import Row, debian
from samples.document_support import FakeContext, texts_of

from worker.jobs.document_processing.parameters import Parameters
from worker.jobs.document_processing.run import run

# The package, its PDF and the text edition of the same book.
MANUALS: Final = (
    ("developers-reference", "developers-reference.pdf", "developers-reference.txt.gz"),
    ("debian-policy", "policy.pdf.gz", "policy.txt.gz"),
    ("debian-reference-en", "debian-reference.en.pdf", "debian-reference.en.txt.gz"),
)
WORD: Final = re.compile(r"\w+")


def rows() -> list[Row]:
    return [Row(f"word F1, {manual[0]}.pdf", word_f1(*manual), 0.97, 0.98) for manual in MANUALS]


def word_f1(package: str, pdf: str, text: str) -> float:
    """Of the bags of words."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "manual.pdf").write_bytes(content(package, pdf))
        parameters = Parameters.model_validate({"documents": [{"path": "manual.pdf"}]})
        run(FakeContext(folder / "job", folder), parameters)
        (found,) = texts_of(folder / "job").values()
    read, wanted = words(found), words(content(package, text).decode("utf-8"))
    shared = (read & wanted).total()
    return 2 * shared / (read.total() + wanted.total())


def content(package: str, name: str) -> bytes:
    files = [file for file in sorted(debian(package).rglob(name)) if file.is_file() and not file.is_symlink()]
    data = files[0].read_bytes()
    return gzip.decompress(data) if name.endswith(".gz") else data


def words(text: str) -> Counter[str]:
    return Counter(WORD.findall(text.casefold()))

"""Real files for the benchmark of the whole chain: Debian's manuals as PDF and HTML, and the samples of all kinds."""

from __future__ import annotations

import gzip
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.quality.corpora import debian

MANUALS: Final = (
    "developers-reference", "debian-policy", "debian-reference-en", "octave-doc", "gnuplot-doc", "r-doc-pdf",
)  # fmt: skip
# Twice the same 2,415 pages: with them the rest would be no mix.
TOO_LONG: Final = ("refman.pdf", "fullrefman.pdf")
HTML: Final = ("python3.11-doc", "postgresql-doc-15")
SAMPLES: Final = Path(__file__).parents[1] / "samples"
MOST_FILES: Final = 1000
MOST_BYTES: Final = 82_000_000
# Words of a made-up language in made-up subjects, for more chunks than any manual has.
SUBJECTS: Final = 40
WORDS_OF_SUBJECT: Final = 300
WORDS_OF_CHUNK: Final = 90


def collect(folder: Path) -> list[str]:
    """Copies them into the folder; their names there. Manuals and samples first, then the largest pages."""
    folder.mkdir(parents=True)
    names: list[str] = []
    total = 0
    for file in _candidates():
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        if len(names) < MOST_FILES and total + len(content) <= MOST_BYTES:
            names.append(f"{len(names):04d}-{file.name.removesuffix('.gz')}")
            (folder / names[-1]).write_bytes(content)
            total += len(content)
    return names


def _candidates() -> Iterator[Path]:
    for package in MANUALS:
        # Many lie in two places, one of which is a link.
        files = {file.resolve() for kind in ("*.pdf", "*.pdf.gz", "*.txt.gz") for file in debian(package).rglob(kind)}
        yield from sorted(file for file in files if file.name not in TOO_LONG)
    yield from (file for file in sorted(SAMPLES.iterdir()) if file.suffix in (".pdf", ".docx", ".html", ".md", ".txt"))
    pages = [file for package in HTML for file in debian(package).rglob("*.html") if not file.is_symlink()]
    yield from sorted(pages, key=lambda file: (-file.stat().st_size, file.name))


def made_up_chunks(count: int, seed: int = 42) -> Iterator[dict[str, object]]:
    """Each of one subject and some words of all; five chunks a document."""
    chance = random.Random(seed)
    common = [f"{a}{b}a" for a in "bdfgklmnprst" for b in ("an", "er", "is", "or", "un")]
    syllables = [a + b for a in "bcdfghklmnprstvz" for b in "aeiou"]
    subjects = [["".join(chance.choices(syllables, k=4)) for _ in range(WORDS_OF_SUBJECT)] for _ in range(SUBJECTS)]
    for number in range(count):
        own = subjects[number * 7919 % SUBJECTS]
        words = [chance.choice(own if chance.random() < 0.4 else common) for _ in range(WORDS_OF_CHUNK)]
        document = f"d{number // 5}"
        yield {"chunk_id": f"{document}:{number % 5}", "document_id": document, "text": " ".join(words)}

"""`make bench-quality`: the product's own job types on labelled texts, beside what they must reach.

Names of parts may be given (`taxonomy`, `extraction`, ...); without one all are measured. Fails when a measure is not
reached.
"""

from __future__ import annotations

import importlib
import sys
import time
from typing import Final

from bench.quality.corpora import Row

PARTS: Final = ("taxonomy", "extraction", "chunking", "pdf", "dataset")


def line(row: Row) -> str:
    def shown(bound: float | None) -> str:
        return "" if bound is None else f"{'<=' if row.is_upper else '>='} {bound:g}"

    mark = "" if row.is_reached else " NOT REACHED"
    return f"| {row.measure} | {row.value:.3f}{mark} | {shown(row.least)} | {shown(row.aim)} |"


def main(parts: list[str]) -> int:
    print("| measure | reached | at least | aim |\n|---|--:|--:|--:|")
    missed = 0
    for part in parts or PARTS:
        begun = time.monotonic()
        for row in importlib.import_module(f"bench.quality.{part}").rows():
            missed += not row.is_reached
            print(line(row), flush=True)
        print(f"{part}: {time.monotonic() - begun:.0f} s", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

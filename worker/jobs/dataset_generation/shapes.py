"""The shapes of many texts in a file, from which each can be had by its number."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from itertools import accumulate
from pathlib import Path
from typing import Self

import numpy as np

from worker.jobs.shared.duplicates import DIGEST_BYTES, Shape


def bytes_of(shape: Shape) -> bytes:
    return shape.digest + shape.shingles.tobytes()


class Shapes:
    """First filled, then read. Raises OSError."""

    def __init__(self, file: Path) -> None:
        self._file = file.open("w+b")
        self._ends = array("q", [0])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, shapes: bytes, sizes: Iterable[int]) -> None:
        """`sizes`: of each in bytes, 0 for none."""
        self._file.write(shapes)
        self._ends.extend(list(accumulate(sizes, initial=self._ends[-1]))[1:])

    def __getitem__(self, number: int) -> Shape:
        start, end = self._ends[number], self._ends[number + 1]
        self._file.seek(start)
        data = self._file.read(end - start)
        return Shape(data[:DIGEST_BYTES], np.frombuffer(data, np.uint32, offset=DIGEST_BYTES))

"""Failures that every job type may meet."""

from __future__ import annotations

import math


class StorageError(Exception):
    """The job's own files cannot be written. No input is to blame, and another attempt may succeed."""


class InputError(Exception):
    """`code` is a stable word for programs; the text is a sentence for people and never names a place outside the
    input folder."""

    def __init__(self, code: str, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.retryable = retryable


def most_failures(rate: float, items: int) -> int:
    """How many of the items may fail: a part of 0.29 of 100 is 29, although the product is a little less."""
    return math.floor(rate * items + 1e-9)

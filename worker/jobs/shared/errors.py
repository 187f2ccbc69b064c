"""Failures that every job type may meet."""

from __future__ import annotations


class StorageError(Exception):
    """The job's own files cannot be written. No input is to blame, and another attempt may succeed."""


class InputError(Exception):
    """`code` is a stable word for programs; the text is a sentence for people and never names a place outside the
    input folder."""

    def __init__(self, code: str, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.retryable = retryable

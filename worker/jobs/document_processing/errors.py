"""The failure of one document, with which the job goes on, and that of the storage, with which it cannot."""

from __future__ import annotations

from typing import Literal

Stage = Literal["read", "sniff", "parse", "chunk"]


class StorageError(Exception):
    """The job's own files cannot be written. No document is to blame, and another attempt may succeed."""


class DocumentError(Exception):
    """`code` is a stable word for programs; the text is a sentence for people and never names a place outside the
    input folder."""

    def __init__(self, code: str, message: str, *, stage: Stage, retryable: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.stage = stage
        self.retryable = retryable

    def to_json(self) -> dict[str, object]:
        return {"code": self.code, "message": str(self), "stage": self.stage, "retryable": self.retryable}

"""The failure of one document, with which the job goes on."""

from __future__ import annotations

from typing import Literal

from worker.jobs.shared.errors import InputError

Stage = Literal["fetch", "read", "sniff", "parse", "chunk"]


class DocumentError(InputError):
    """Of one document, at one stage of its way."""

    def __init__(self, code: str, message: str, *, stage: Stage, retryable: bool = False) -> None:
        super().__init__(code, message, retryable=retryable)
        self.stage = stage

    def to_json(self) -> dict[str, object]:
        return {"code": self.code, "message": str(self), "stage": self.stage, "retryable": self.retryable}

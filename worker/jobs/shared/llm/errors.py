"""What goes wrong with one item. What goes wrong with the whole job is a PermanentError or a RetryableError."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

UNAVAILABLE: Final = "llm_unavailable"
BUDGET_SPENT: Final = "llm_budget_spent"
BAD_REPLY: Final = "llm_bad_reply"
TRUNCATED: Final = "llm_truncated"
TOO_MANY: Final = "too_many_errors"
BAD_REQUEST: Final = "llm_bad_request"
# Of foreign words in a message.
_MOST_CHARACTERS: Final = 300


class ItemError(Exception):
    """One item could not be done; the job goes on. `code` and `message` as in all errors of a result."""

    def __init__(self, code: str, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retryable = retryable


class UnreachableError(ItemError):
    """The endpoint did not answer, or only that it cannot."""

    def __init__(self, message: str) -> None:
        super().__init__(UNAVAILABLE, message, retryable=True)


class RefusedError(ItemError):
    """The endpoint did not take the request as it was. `parameter`: at which it took offence, or ""."""

    def __init__(self, message: str, parameter: str = "") -> None:
        super().__init__(BAD_REQUEST, message)
        self.parameter = parameter


class ItemFailure(NamedTuple):
    """Stands in the place of an item's result."""

    code: str
    message: str
    retryable: bool

    def as_error(self, stage: str, item: Mapping[str, str]) -> dict[str, object]:
        """For the result's `errors`. `item`: which one it is, as in `{"chunk_id": ...}`."""
        said = {"code": self.code, "message": self.message}
        return {**said, **item, "stage": stage, "retryable": self.retryable}


def shortened(text: str) -> str:
    """Foreign words on one line."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * _MOST_CHARACTERS]).split())
    return line if len(line) <= _MOST_CHARACTERS else line[: _MOST_CHARACTERS - 1] + "…"

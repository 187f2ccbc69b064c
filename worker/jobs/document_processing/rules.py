"""The rules of the strategy `schema`. Light: the server checks them at submit; `regex` is imported when needed."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from worker.jobs.shared import user_patterns

LONGEST_VALUE: Final = 500


class Rule(BaseModel):
    """`pattern`: a chunk begins where it matches, lines counting as such for ^ and $. `delimiter`: one ends with it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["pattern", "delimiter"]
    value: Annotated[str, Field(min_length=1, max_length=LONGEST_VALUE)]

    @model_validator(mode="after")
    def _check_pattern(self) -> Self:
        if self.type == "pattern":
            check_pattern(self.value)
        return self


class SchemaDefinition(BaseModel):
    """`combine`: chunks begin where `any` of the rules says so, or only where `all` of them do."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rules: list[Rule] = Field(min_length=1, max_length=20)
    combine: Literal["any", "all"] = "any"


def check_pattern(value: str) -> None:
    """Raises ValueError with the reason why it cannot be used."""
    try:
        pattern = compiled(value)
    except ImportError:
        raise ValueError("patterns need the package 'regex'; install the extra 'pipeline'") from None
    if user_patterns.matches_nothing(pattern):
        raise ValueError("matches everywhere, because it matches an empty text")


def compiled(value: str) -> Any:
    """The pattern. Raises ValueError for what is none, ImportError without the library."""
    return user_patterns.compiled(value, by_line=True)

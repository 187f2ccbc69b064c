"""What a validator of parameters refuses, with the place that it is about: the server tells it as `loc`."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Final, NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

# The server tells no more, and has others to answer.
MOST_TOLD: Final = 100

Location = tuple[str | int, ...]


class Mistake(NamedTuple):
    """`code`: a stable word for programs; `place`: below what is validated."""

    code: str
    place: Location
    text: str


def first_of(mistakes: Iterable[Mistake]) -> list[Mistake]:
    """As many as are told: there may be one for each line of a large request."""
    return list(islice(mistakes, MOST_TOLD))


def refused(mistakes: Iterable[Mistake]) -> ValidationError:
    """To be raised by a validator; unlike a ValueError it keeps the places. There must be a mistake."""
    return _error((mistake.code, mistake.place, f"{mistake.code}: {mistake.text}") for mistake in mistakes)


def refused_field(name: str, text: str) -> ValidationError:
    """The same for a field that does not go with others."""
    return _error([("value_error", (name,), text)])


def lifted(error: ValidationError) -> ValidationError:
    """The first of its mistakes, with places as if what was outermost there were left out."""
    found = islice(error.errors(include_url=False), MOST_TOLD)
    return ValidationError.from_exception_data("parameters", [_lifted(mistake) for mistake in found])


def _lifted(mistake: ErrorDetails) -> InitErrorDetails:
    context = mistake.get("ctx", {})
    # Those made here are of no kind that the library knows.
    kind = PydanticCustomError(mistake["type"], "{text}", context) if "text" in context else mistake["type"]
    return InitErrorDetails(type=kind, loc=mistake["loc"][1:], input=mistake["input"], ctx=context)


def _error(told: Iterable[tuple[str, Location, str]]) -> ValidationError:
    details = [
        InitErrorDetails(type=PydanticCustomError(code, "{text}", {"text": text}), loc=place, input=None)
        for code, place, text in told
    ]
    return ValidationError.from_exception_data("parameters", details)

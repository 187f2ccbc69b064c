"""What a validator of parameters refuses, with the place that it is about: the server tells it as `loc`."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Final, NamedTuple

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

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


def _error(told: Iterable[tuple[str, Location, str]]) -> ValidationError:
    details = [
        InitErrorDetails(type=PydanticCustomError(code, "{text}", {"text": text}), loc=place, input=None)
        for code, place, text in told
    ]
    return ValidationError.from_exception_data("parameters", details)

"""From what a model says to what was asked of it."""

from __future__ import annotations

import json
import re
from typing import Any, Final, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from worker.jobs.shared.llm.errors import shortened

R = TypeVar("R", bound=BaseModel)

_CLOSED_THOUGHT: Final = "</think>"
_OPEN_THOUGHT: Final = re.compile(r"<think>.*", re.DOTALL)
_MOST_PROBLEMS: Final = 5
_DECODER: Final = json.JSONDecoder()


class Unusable(NamedTuple):
    """Why, in words that the model is told too."""

    problem: str


def read_reply(text: str, model: type[R]) -> R | Unusable:
    """The first piece of JSON in the text, as the model wants it."""
    said = without_thoughts(text)
    if not said:
        return Unusable("the reply is empty")
    value = _first_json(said)
    if value is None:
        return Unusable("there is no JSON in the reply")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        return Unusable(_in_words(error))


def without_thoughts(text: str) -> str:
    """Some endpoints give the opening mark away, and some replies end before the closing one."""
    return _OPEN_THOUGHT.sub("", text.rpartition(_CLOSED_THOUGHT)[2]).strip()


def _first_json(text: str) -> dict[str, Any] | list[Any] | None:
    for match in re.finditer(r"[{\[]", text):
        try:
            value, _ = _DECODER.raw_decode(text, match.start())
        except json.JSONDecodeError:
            continue
        except RecursionError:
            return None
        if value and isinstance(value, (dict, list)):
            return value
    return None


def _in_words(error: ValidationError) -> str:
    mistakes = error.errors(include_url=False, include_context=False, include_input=False)[:_MOST_PROBLEMS]
    return shortened(
        "; ".join(f"{'.'.join(map(str, mistake['loc'])) or 'the reply'}: {mistake['msg']}" for mistake in mistakes)
    )

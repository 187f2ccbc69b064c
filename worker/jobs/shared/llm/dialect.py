"""How an endpoint wants to be asked; learned from what it refuses, and then remembered."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from worker.jobs.shared.llm.errors import RefusedError
from worker.jobs.shared.llm.options import ResponseFormat

Format = Literal["json_schema", "json_object", "none"]
Message = dict[str, str]

LADDER: Final[tuple[Format, ...]] = ("json_schema", "json_object", "none")


class Form(NamedTuple):
    """Of requests. Newer models of some makers call the most tokens otherwise, and know one temperature only."""

    format: Format
    tokens_name: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    with_temperature: bool = True


class Dialect:
    """What has worked once is kept: a refusal after that is the item's own fault."""

    def __init__(self, wanted: ResponseFormat) -> None:
        self._ladder = LADDER if wanted == "auto" else (wanted,)
        self._proven = False
        self.form = Form(self._ladder[0])

    def proven(self, form: Form) -> None:
        if form == self.form:
            self._proven = True

    def learn(self, form: Form, refusal: RefusedError) -> bool:
        """Whether another attempt in the present form makes sense."""
        if form != self.form:
            return True
        better = _adapted(form, refusal) or self._lower(form)
        if better is None and not self._proven:
            # It was not the form after all, or nothing of it is taken.
            self.form = form._replace(format=self._ladder[0])
        elif better is not None:
            self.form = better
        return better is not None

    def _lower(self, form: Form) -> Form | None:
        below = self._ladder[self._ladder.index(form.format) + 1 :]
        return form._replace(format=below[0]) if below and not self._proven else None


def _adapted(form: Form, refusal: RefusedError) -> Form | None:
    if form.tokens_name == "max_tokens" and "max_completion_tokens" in refusal.message:
        return form._replace(tokens_name="max_completion_tokens")
    if form.with_temperature and (refusal.parameter == "temperature" or "'temperature'" in refusal.message):
        return form._replace(with_temperature=False)
    return None


def response_format(form: Form, name: str, schema: Mapping[str, Any]) -> dict[str, Any] | None:
    if form.format == "json_schema":
        return {"type": "json_schema", "json_schema": {"name": name, "schema": dict(schema), "strict": True}}
    return {"type": "json_object"} if form.format == "json_object" else None


def worded(form: Form, messages: Sequence[Message], schema: Mapping[str, Any]) -> list[Message]:
    """With the schema in words, unless the endpoint gets it as such."""
    if form.format == "json_schema":
        return list(messages)
    told = f"Answer with one JSON object and nothing else. It must fit this JSON Schema:\n{json.dumps(schema)}"
    first, *rest = messages
    if first["role"] == "system":
        return [{"role": "system", "content": f"{first['content']}\n\n{told}"}, *rest]
    return [{"role": "system", "content": told}, *messages]

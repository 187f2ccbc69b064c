"""The forms of records. A model for each, by which every record is checked, and which `schema.json` tells."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from worker.jobs.dataset_generation.model import Draft
from worker.jobs.dataset_generation.modes import SchemaName
from worker.jobs.shared.files import Record

Text = Annotated[str, Field(min_length=1, pattern=r"\S")]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Alpaca(_Record):
    instruction: Text
    input: str
    output: Text


class UserMessage(_Record):
    role: Literal["user"]
    content: Text


class AssistantMessage(_Record):
    role: Literal["assistant"]
    content: Text


class Messages(_Record):
    """One turn of each."""

    # A list is no tuple to a strict model.
    messages: Annotated[tuple[UserMessage, AssistantMessage], Field(strict=False)]


class QuestionAndAnswer(_Record):
    question: Text
    context: str
    answer: Text


class Classification(_Record):
    text: Text
    labels: Annotated[list[Text], Field(min_length=1)]


class PlainText(_Record):
    text: Text


MODELS: Final[dict[SchemaName, type[BaseModel]]] = {
    "alpaca": Alpaca,
    "messages": Messages,
    "qa": QuestionAndAnswer,
    "classification": Classification,
    "text": PlainText,
}


def is_valid(record: Record, schema: SchemaName) -> bool:
    try:
        MODELS[schema].model_validate(record)
    except ValidationError:
        return False
    return True


def json_schema(schema: SchemaName) -> dict[str, Any]:
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **MODELS[schema].model_json_schema()}


def record_of(draft: Draft, schema: SchemaName) -> Record:
    if schema == "alpaca":
        return {"instruction": draft.instruction, "input": draft.input, "output": draft.output}
    if schema == "messages":
        said = (("user", _asked(draft)), ("assistant", draft.output))
        return {"messages": [{"role": role, "content": content} for role, content in said]}
    if schema == "qa":
        return {"question": draft.instruction, "context": draft.input, "answer": draft.output}
    if schema == "classification":
        return {"text": draft.input, "labels": list(draft.labels)}
    return {"text": _plain(draft)}


def text_of(record: Record) -> str:
    """All that the record says, for measuring."""
    if "messages" in record:
        messages = record["messages"]
        assert isinstance(messages, list)
        return "\n".join(message["content"] for message in messages)
    values = (value if isinstance(value, list) else [value] for value in record.values())
    return "\n".join(str(text) for texts in values for text in texts)


def _asked(draft: Draft) -> str:
    return f"{draft.instruction}\n\n{draft.input}" if draft.input else draft.instruction


def _plain(draft: Draft) -> str:
    """The layout that instruction tuning knows; of a completion the text as it is."""
    if draft.task == "completion":
        return draft.input + draft.output
    context = f"### Input:\n{draft.input}\n\n" if draft.input else ""
    return f"### Instruction:\n{draft.instruction}\n\n{context}### Response:\n{draft.output}"

"""What can be made, and in which form. Light: the server looks at it at submit."""

from __future__ import annotations

from typing import Final, Literal

GenerationMode = Literal["instruction", "qa", "question", "answer", "summarization", "classification", "completion"]
SchemaName = Literal["alpaca", "messages", "qa", "classification", "text"]
Format = Literal["jsonl", "csv", "parquet", "json"]
Split = Literal["train", "validation", "test"]

SPLITS: Final[tuple[Split, ...]] = ("train", "validation", "test")
OFFLINE: Final = ("instruction", "qa", "summarization", "classification", "completion")
# Not those whose answers are there already: the categories that were found, the rest of the text.
WITH_LLM: Final = ("instruction", "qa", "question", "answer", "summarization")
# The first is taken when none is asked for.
SCHEMAS: Final[dict[str, tuple[SchemaName, ...]]] = {
    "instruction": ("alpaca", "messages", "text"),
    "qa": ("qa", "alpaca", "messages", "text"),
    "question": ("alpaca", "messages", "text"),
    "answer": ("qa", "alpaca", "messages", "text"),
    "summarization": ("alpaca", "messages", "text"),
    "classification": ("classification", "alpaca", "messages", "text"),
    "completion": ("text", "alpaca", "messages"),
}
PLACEHOLDERS: Final = ("text", "headings", "categories", "count")

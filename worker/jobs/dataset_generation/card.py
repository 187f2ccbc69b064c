"""`README.md`: what the dataset is, for people and, in its YAML head, for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from worker.jobs.dataset_generation.modes import Split
from worker.jobs.dataset_generation.parameters import Parameters
from worker.jobs.dataset_generation.records import MODELS
from worker.jobs.dataset_generation.writers import COLUMNS

CARD: Final = "README.md"
_TASKS: Final = {
    "instruction": "text-generation",
    "qa": "question-answering",
    "question": "text-generation",
    "answer": "question-answering",
    "summarization": "summarization",
    "classification": "text-classification",
    "completion": "text-generation",
}
_SIZES: Final = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
# The first that was written is the one that loaders are told of.
_PREFERRED: Final = ("parquet", "jsonl", "json", "csv")
_OFFLINE: Final = """\
Made in offline mode, without a language model. **Offline mode writes no new prose**: every answer is a part of its
source as it stands there (a passage, sentences, terms), or the names of categories that were found for it. Questions
and instructions come from fixed templates. So the data teaches to find and to quote, not to write, and is as right or
wrong as the texts themselves; nobody has read it.
"""
_WRITTEN: Final = """\
Written by the language model {model} at temperature {temperature:g}, from one text at a time. Kept is only what names
passages that stand in its text, gives no number that is not there, and has most of its words from there (questions
need the first two only). That keeps out much of what a model makes up, and not all of it: nobody has read the data.
"""
_METRICS: Final = (
    ("schema_validity", "records that have the form told in `schema.json`"),
    ("groundedness", "answers that are in the source"),
    ("near_duplicate_share", "records that are too much like another one"),
    ("split_leakage", "records that are too much like one of another split"),
    ("label_balance", "how evenly the categories are spread; 1: all alike"),
    ("distinct_1", "different words among the words of answers, 10,000 at a time"),
    ("distinct_2", "the same for pairs of words"),
    ("empty_truncated_share", "answers that are empty or break off"),
    ("category_coverage", "categories that have a record"),
)


def card(
    parameters: Parameters,
    splits: Mapping[Split, int],
    rejected: Mapping[str, int],
    quality: Mapping[str, Any] | None,
) -> str:
    """`splits`: records in each. The same for the same data: it tells no time and no job."""
    parts = [
        _head(parameters, splits),
        f"# {' '.join((parameters.name or parameters.dataset_name_used).split())}\n",
        _origin(parameters),
        _about(parameters, splits),
        _selection(parameters, rejected),
    ]
    if quality is not None:
        parts.append(_quality(quality))
    return "\n".join(parts)


def _origin(parameters: Parameters) -> str:
    if parameters.llm is None:
        return _OFFLINE
    # As code, so that a name is no markup.
    model = f"`{' '.join(parameters.llm.model.replace('`', ' ').split())}`"
    return _WRITTEN.format(model=model, temperature=parameters.llm.temperature)


def _head(parameters: Parameters, splits: Mapping[Split, int]) -> str:
    total = sum(splits.values())
    size = next((name for most, name in _SIZES if total < most), "n>1M")
    written = next(kind for kind in _PREFERRED if kind in parameters.formats)
    files = "\n".join(f"  - split: {split}\n    path: {split}.{written}" for split in splits)
    # A text of JSON is one of YAML too.
    name = json.dumps(parameters.name or parameters.dataset_name_used, ensure_ascii=False)
    kind = "extractive" if parameters.llm is None else "synthetic"
    return (
        f"---\npretty_name: {name}\nversion: {json.dumps(parameters.version)}\n"
        f"task_categories:\n- {_TASKS[parameters.generation_mode]}\nsize_categories:\n- {size}\n"
        f"tags:\n- {kind}\nconfigs:\n- config_name: default\n  data_files:\n{files}\n---\n"
    )


def _about(parameters: Parameters, splits: Mapping[Split, int]) -> str:
    schema = parameters.schema_used
    fields = ", ".join(f"`{column}`" for column in COLUMNS[schema])
    rows = "\n".join(f"| {split} | {count:,} |" for split, count in splits.items())
    return (
        f"## Contents\n\nVersion {parameters.version}; mode `{parameters.generation_mode}`; schema `{schema}` "
        f"({MODELS[schema].__name__}) with {fields}; formats: {', '.join(parameters.formats)}.\n\n"
        f"| split | records |\n|---|--:|\n{rows}\n"
    )


def _selection(parameters: Parameters, rejected: Mapping[str, int]) -> str:
    together = "a document" if parameters.split_by == "document" else "a chunk"
    threshold = parameters.dedup_threshold
    duplicates = f"(Jaccard likeness of {threshold:g} and more) were taken out" if threshold else "were left in"
    rows = "\n".join(f"| {reason} | {count:,} |" for reason, count in rejected.items())
    return (
        f"## Selection\n\nAll records of {together} are in one split. Near-duplicates {duplicates}; what is alike "
        f"across splits was taken out of the larger one. Seed {parameters.seed}. Left out, each in `rejected.jsonl` "
        f"with its reason:\n\n| reason | records |\n|---|--:|\n{rows}\n"
    )


def _quality(quality: Mapping[str, Any]) -> str:
    told = [(name, quality[name], meaning) for name, meaning in _METRICS]
    rows = "\n".join(f"| {name} | {value:.3f} | {meaning} |" for name, value, meaning in told if value is not None)
    verdict = "reached" if quality["passed"] else "**not reached**"
    return (
        f"## Quality\n\nOverall {quality['overall']:.3f}; the threshold of {quality['threshold']:g} is {verdict}.\n\n"
        f"| measure | value | |\n|---|--:|---|\n{rows}\n"
    )

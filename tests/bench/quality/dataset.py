"""dataset_generation on chunks of joined news stories, measured by other means than the job's own.

Likeness is the Jaccard of the sets of word triples, found exactly for all pairs. A record leaks when another split has
one that is half like it, or one about a passage that is half like its own.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.quality.corpora import Row, reuters
from samples.document_support import FakeContext, read_lines

from worker.jobs.dataset_generation.parameters import Parameters
from worker.jobs.dataset_generation.run import run

DOCUMENTS, STORIES = 200, 10
SIZE, OVERLAP = 600, 150
LEAK, SAME = 0.5, 0.8
SPLITS = ("train", "validation", "test")
FIELDS = {"instruction": ("instruction", "input", "output"), "qa": ("question", "context", "answer")}

Record = dict[str, Any]
Set = frozenset[str]


def rows() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        texts = write_chunks(root / "chunks.jsonl")
        return [row for mode in FIELDS for row in mode_rows(root, texts, mode)]


def write_chunks(file: Path) -> str:
    """All documents one after the other."""
    stories = reuters()[: DOCUMENTS * STORIES]
    texts = []
    with file.open("w", encoding="utf-8") as lines:
        for number in range(DOCUMENTS):
            joined = stories[number * STORIES : (number + 1) * STORIES]
            text = "\n\n".join(f"{story.title}\n{story.body}" for story in joined)
            texts.append(text)
            for index, start in enumerate(range(0, len(text), SIZE - OVERLAP)):
                name = f"document-{number:03d}"
                chunk = {"chunk_id": f"{name}:{index}", "document_id": name, "text": text[start : start + SIZE]}
                lines.write(json.dumps(chunk) + "\n")
    return "\n".join(texts)


def mode_rows(root: Path, texts: str, mode: str) -> Iterator[Row]:
    job = root / mode
    parameters = {"source": {"path": "chunks.jsonl"}, "generation_mode": mode, "formats": ["jsonl", "parquet"]}
    run(FakeContext(job, root), Parameters.model_validate(parameters))
    records = [(split, record) for split in SPLITS for record in read_lines(job / f"{split}.jsonl")]
    schema = json.loads((job / "schema.json").read_text("utf-8"))
    _, passage, answer = FIELDS[mode]
    count = len(records)
    valid = sum(fits(record, schema, schema) for _, record in records)
    found = sum(is_found(record[answer], record[passage], texts) for _, record in records)
    splits = [split for split, _ in records]
    wholes = [triples("\n".join(record.values())) for _, record in records]
    passages = [triples(record[passage]) for _, record in records]
    leaking = leaks(wholes, splits) | leaks(passages, splits)
    answers = [triples(record[answer]) for _, record in records]
    yield Row(f"dataset, {mode}: records", count, 3_000)
    yield Row(f"dataset, {mode}: schema validity", valid / count, 1.0)
    yield Row(f"dataset, {mode}: groundedness", found / count, 1.0)
    yield Row(f"dataset, {mode}: share that leaks between splits", len(leaking) / count, 0.0, is_upper=True)
    yield Row(f"dataset, {mode}: share of duplicates", len(doubles(passages, answers)) / count, 0.0, is_upper=True)


def fits(value: Any, schema: dict[str, Any], root: dict[str, Any]) -> bool:
    """As much of JSON Schema as the job's file uses; anything else in it is a KeyError here."""
    if "$ref" in schema:
        return fits(value, root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    checks = {
        "type": lambda kind: isinstance(value, {"object": dict, "array": list, "string": str}[kind]),
        "properties": lambda kinds: all(fits(value[name], kind, root) for name, kind in kinds.items() if name in value),
        "required": lambda names: all(name in value for name in names),
        "additionalProperties": lambda allowed: allowed or value.keys() <= schema["properties"].keys(),
        "minLength": lambda least: len(value) >= least,
        "pattern": lambda pattern: re.search(pattern, value) is not None,
    }
    told = {"title", "description", "$schema", "$defs"}
    return all(checks[name](wanted) for name, wanted in schema.items() if name not in told)


def is_found(answer: str, passage: str, texts: str) -> bool:
    """Whether each line of the answer is in the passage, or, for what is asked without one, in a document."""
    lines = [line.removeprefix("- ") for line in answer.split("\n")]
    return all(line in passage or line in texts for line in lines)


def triples(text: str) -> Set:
    words = re.findall(r"\w+", text.lower())
    return frozenset(" ".join(words[n : n + 3]) for n in range(max(1, len(words) - 2)))


def leaks(sets: Sequence[Set], splits: Sequence[str]) -> set[int]:
    return {side for pair in alike(sets, LEAK) if splits[pair[0]] != splits[pair[1]] for side in pair}


def doubles(passages: Sequence[Set], answers: Sequence[Set]) -> set[int]:
    """Those that ask of nearly the same passage and answer nearly the same."""
    pairs = alike(passages, SAME)
    return {max(pair) for pair in pairs if likeness(answers[pair[0]], answers[pair[1]]) >= SAME}


def alike(sets: Sequence[Set], threshold: float) -> set[tuple[int, int]]:
    """All pairs that are. Two such have a triple in common among the rarest ones of each."""
    frequencies = Counter(triple for each in sets for triple in each)
    seen: dict[str, list[int]] = defaultdict(list)
    found = set()
    for number, each in enumerate(sets):
        ordered = sorted(each, key=lambda triple: (frequencies[triple], triple))
        rarest = ordered[: len(ordered) - int(threshold * len(ordered) + 0.999999) + 1]
        for other in {other for triple in rarest for other in seen[triple]}:
            if likeness(each, sets[other]) >= threshold:
                found.add((other, number))
        for triple in rarest:
            seen[triple].append(number)
    return found


def likeness(one: Set, other: Set) -> float:
    return len(one & other) / len(one | other)

"""What the tests of dataset_generation share: texts, chunks and what earlier jobs have left."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from samples.document_support import FakeContext, read_lines

from worker.jobs.dataset_generation.parameters import Parameters
from worker.jobs.dataset_generation.run import run

SPLITS = ("train", "validation", "test")
TOPICS = ("storage/tanks", "storage/silos", "transport", "safety")


def words(chance: random.Random) -> str:
    return "".join(chance.choice(["ba", "ko", "mi", "tur", "len", "sa", "gro", "vi"]) for _ in range(3))


def sentence(chance: random.Random) -> str:
    return " ".join(words(chance) for _ in range(chance.randint(7, 12))).capitalize() + "."


def text(number: int, sentences: int = 5) -> str:
    """No two are alike."""
    chance = random.Random(number)
    return " ".join(sentence(chance) for _ in range(sentences))


def chunks(documents: int = 10, each: int = 4, **more: Any) -> list[dict[str, Any]]:
    """Each text names its document in its first sentence."""
    made = []
    for number in range(documents):
        for index in range(each):
            said = f"Document{number:03d} begins part {index} with these words. {text(number * 100 + index)}"
            made.append({"chunk_id": f"d{number}:{index}", "document_id": f"d{number}", "text": said, **more})
    return made


def extractions(of: Iterable[Mapping[str, Any]], **more: Any) -> list[dict[str, Any]]:
    """One for each chunk, of the topics in turn."""
    return [
        {
            "extraction_id": f"{chunk['chunk_id']}:0",
            "chunk_id": chunk["chunk_id"],
            "document_id": chunk["document_id"],
            "category_id": TOPICS[number % len(TOPICS)].replace("/", "-"),
            "category_path": TOPICS[number % len(TOPICS)].split("/"),
            "type": "whole_text",
            "text": chunk["text"],
            "start": 0,
            "end": len(chunk["text"]),
            "confidence": 0.8,
            "method": "test",
            "validated": None,
            **more,
        }
        for number, chunk in enumerate(of)
    ]


def assignments(of: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"chunk_id": line["chunk_id"], "category_id": line["category_id"], "path": line["category_path"]}
        | {"similarity": 0.2}
        for line in extractions(of)
    ]


def write_lines(file: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")


def leave(jobs: Path, job_id: str, job_type: str, read: Mapping[str, Any] | None = None, **files: Any) -> None:
    """An earlier job. `read`: the source that its manifest names; `files`: lists of lines, or an object."""
    folder = jobs / job_id
    folder.mkdir(parents=True)
    inputs = [] if read is None else [{"parameter": "source", "job_id": None, "path": None, "inline": False, **read}]
    (folder / "manifest.json").write_text(json.dumps({"job_type": job_type, "inputs": inputs}))
    for name, content in files.items():
        if isinstance(content, list):
            write_lines(folder / f"{name}.jsonl", content)
        else:
            (folder / f"{name}.json").write_text(json.dumps(content))


def context(root: Path, name: str = "own") -> FakeContext:
    for folder in ("jobs", "input"):
        (root / folder).mkdir(exist_ok=True)
    return FakeContext(root / "jobs" / name, root / "input")


def generate(root: Path, source: Any, name: str = "own", **values: Any) -> dict[str, Any]:
    result: dict[str, Any] = run(context(root, name), Parameters.model_validate({"source": source, **values}))
    return result


def records(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    """With the split of each."""
    found = []
    for split in SPLITS:
        file = folder / f"{split}.jsonl"
        found += [(split, record) for record in (read_lines(file) if file.exists() else [])]
    return found

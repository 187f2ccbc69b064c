"""What the tests of extraction share: small corpora, and running the job on them."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from samples.document_support import FakeContext, read_lines

from worker.jobs.extraction.parameters import Parameters
from worker.jobs.extraction.run import run

WORDS = {
    "Astronomy": "telescope galaxy planet orbit comet nebula star eclipse moon asteroid",
    "Cooking": "oven flour butter recipe sauce pepper onion simmer dough kitchen",
    "Sailing": "harbour mast rudder anchor tide keel deck sailor hull regatta",
}
FILLER = ["people", "often", "wrote", "about", "many", "other", "common", "matters", "during", "those", "long", "years"]
TAXONOMY = {
    "name": "hobbies",
    "children": [
        {"name": "Astronomy", "description": "Stars, the moon, a planet and its orbit seen through a telescope."},
        {"name": "Cooking", "description": "A recipe with flour and butter, dough for the oven, a sauce with onion."},
        {"name": "Sailing", "description": "A mast, a keel and a rudder, an anchor in the harbour, the tide."},
    ],
}


def sentence(topic: str, rng: random.Random) -> str:
    words = rng.sample(WORDS[topic].split(), 5) + rng.sample(FILLER, 3)
    rng.shuffle(words)
    return " ".join(words).capitalize() + "."


def corpus(count: int, seed: int = 1) -> list[dict[str, Any]]:
    """Chunks of two sentences on one of three topics each; the topic is the document's id."""
    rng = random.Random(seed)
    chunks = []
    for number in range(count):
        topic = list(WORDS)[number % 3]
        text = f"{sentence(topic, rng)} {sentence(topic, rng)}"
        chunks.append({"chunk_id": f"{topic}:{number}", "document_id": topic, "text": text})
    return chunks


class Job:
    """A run of the job over `chunks`, in a folder of its own."""

    def __init__(self, tmp_path: Path, chunks: Sequence[dict[str, Any]], name: str = "job", **values: Any) -> None:
        (tmp_path / "chunks.jsonl").write_text("".join(json.dumps(chunk) + "\n" for chunk in chunks))
        self.ctx = FakeContext(tmp_path / name, tmp_path)
        given = {"source": {"path": "chunks.jsonl"}, "taxonomy": {"taxonomy": TAXONOMY}, **values}
        self.result: Any = run(self.ctx, Parameters.model_validate(given))

    @property
    def lines(self) -> list[dict[str, Any]]:
        return read_lines(self.ctx.folder / "extractions.jsonl")

    @property
    def relations(self) -> list[dict[str, Any]]:
        return read_lines(self.ctx.folder / "relations.jsonl")

    @property
    def warnings(self) -> set[str]:
        return {warning["code"] for warning in self.result["warnings"]}


def one(text: str, **more: Any) -> list[dict[str, Any]]:
    return [{"chunk_id": "d:0", "document_id": "d", "text": text, **more}]

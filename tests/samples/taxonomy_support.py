"""What the tests of taxonomy_processing share: texts on made-up subjects, and reading artefacts."""

from __future__ import annotations

import json
import random
from typing import Any

from samples.document_support import FakeContext

SUBJECTS = {
    "sea": "harbour ship anchor sailor tide wave lighthouse captain cargo deck mast port vessel crew rope",
    "kitchen": "oven flour butter sugar recipe dough spoon bake salt pepper onion garlic plate cook soup",
    "court": "judge lawyer trial verdict witness appeal sentence jury statute evidence crime defence law clerk oath",
    "garden": "seed soil flower root leaf water prune compost rose tulip hedge spade bloom weed lawn",
}
_COMMON_WORDS = "the and of to in was were for with that this it as on by from at which had their"
COMMON = _COMMON_WORDS.split()


def text(subject: str, chance: random.Random, length: int = 40) -> str:
    words = SUBJECTS[subject].split()
    return " ".join(chance.choice(words if chance.random() < 0.5 else COMMON) for _ in range(length)) + "."


def texts(count: int, seed: int = 1) -> list[tuple[str, str]]:
    """(subject, text), all different."""
    chance = random.Random(seed)
    names = list(SUBJECTS)
    return [(names[n % len(names)], text(names[n % len(names)], chance)) for n in range(count)]


def given(found: list[tuple[str, str]], **more: Any) -> dict[str, Any]:
    chunks = [{"text": words, "chunk_id": f"{subject}:{n}"} for n, (subject, words) in enumerate(found)]
    return {"source": {"chunks": chunks}, **more}


def taxonomy_of(ctx: FakeContext) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((ctx.folder / "taxonomy.json").read_text())
    return read


def assigned(ctx: FakeContext) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (ctx.folder / "assignments.jsonl").read_text().splitlines()]

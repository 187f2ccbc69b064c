"""What the tests of extraction in mode `llm` share: two chunks, replies about them, and running the job on them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from samples.document_support import FakeContext, read_lines
from samples.extraction_support import TAXONOMY
from samples.llm_stub import Answer, Asked, llm_stub

from worker.jobs.extraction.parameters import Parameters
from worker.jobs.extraction.run import run

SKY = "We looked at the moon through a telescope. Later the dough went into the oven."
SEA = "The rudder broke in the harbour. Nobody was hurt."
CHUNKS = [
    {"chunk_id": "d:0", "document_id": "d", "text": SKY, "start": 10, "end": 10 + len(SKY)},
    {"chunk_id": "d:1", "document_id": "d", "text": SEA, "start": 200, "end": 200 + len(SEA)},
]
ASTRONOMY, COOKING, SAILING = "astronomy", "cooking", "sailing"
NAMED = {
    "name": "hobbies",
    "children": [{**node, "id": str(node["name"]).lower()} for node in TAXONOMY["children"]],
}
Reply = Callable[[Asked], Answer]


def found(*findings: tuple[str, str, float]) -> dict[str, Any]:
    rows = [{"category_id": name, "quote": quote, "confidence": sure} for name, quote, sure in findings]
    return {"findings": rows}


def is_judging(asked: Asked) -> bool:
    return "You check" in asked.text


class LlmJob:
    """A run of the job against a stand-in that answers so, or with `second` against two."""

    def __init__(
        self,
        tmp_path: Path,
        answer: Reply | Answer,
        name: str = "job",
        llm: dict[str, Any] | None = None,
        second: Reply | Answer | None = None,
        **values: Any,
    ) -> None:
        chunks = values.pop("chunks", CHUNKS)
        (tmp_path / "chunks.jsonl").write_text("".join(json.dumps(chunk) + "\n" for chunk in chunks))
        self.ctx = FakeContext(tmp_path / name, tmp_path, values.pop("check", lambda: None))
        given = {"source": {"path": "chunks.jsonl"}, "taxonomy": {"taxonomy": NAMED}, "mode": "llm"}
        with ExitStack() as stack:
            self.stub = stack.enter_context(llm_stub(answer))
            self.ctx.llm_base_urls = (self.stub.base_url,)
            if second is not None:
                self.second = stack.enter_context(llm_stub(second))
                self.ctx.llm_base_urls += (self.second.base_url,)
                more = {"model": "judge", **values.pop("validation_llm", {})}
                values |= {"validation_llm": self.second.options(**more), "enable_validation_stage": True}
            options = self.stub.options(**(llm or {}))
            self.result: Any = run(self.ctx, Parameters.model_validate({**given, "llm": options, **values}))

    @property
    def lines(self) -> list[dict[str, Any]]:
        return read_lines(self.ctx.folder / "extractions.jsonl")

    @property
    def told(self) -> list[tuple[str, str]]:
        return [(line["category_id"], line["text"]) for line in self.lines]


def by_passage(sky: Answer, sea: Answer) -> Reply:
    return lambda asked: sky if SKY in asked.text else sea


def judged(right: Callable[[int], bool]) -> Reply:
    finds = by_passage(found((ASTRONOMY, "the moon", 0.9), (COOKING, "the dough", 0.8)), found())

    def answer(asked: Asked) -> Answer:
        if not is_judging(asked):
            return finds(asked)
        numbers = [int(number) for number in re.findall(r"^(\d+)\. category", asked.text, re.M)]
        return {"verdicts": [{"number": number, "is_right": right(number)} for number in [*numbers, 77]]}

    return answer

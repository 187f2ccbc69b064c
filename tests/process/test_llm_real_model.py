"""A real small model instead of a stand-in. Its words are of no use; that makes it good at being cut off and at quotes
that are not there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from llm_model import real_model
from pydantic import BaseModel, ConfigDict
from samples import dataset_support as support

from worker.context import PermanentError
from worker.jobs.dataset_generation.parameters import Parameters
from worker.jobs.dataset_generation.run import run
from worker.jobs.dataset_generation.support import is_supported
from worker.jobs.shared.llm.options import LlmOptions
from worker.jobs.shared.llm.session import open_llm

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not real_model.is_possible(), reason="not run: node and npm are not installed"),
]
TEXTS = [
    "The pump in the north hall was inspected on 3 March. Its bearings showed traces of wear, but the seal was tight.",
    "Tank 4 holds 1200 litres of diesel. It is emptied and cleaned every five years by two people.",
    "Visitors must wear a helmet. Nobody may enter the crane area while a load is lifted.",
]


class Verdict(BaseModel):
    model_config = ConfigDict(extra="forbid")

    about_safety: bool


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with real_model.served() as base_url:
        yield base_url


def options(endpoint: str, **more: Any) -> dict[str, Any]:
    return {"base_url": endpoint, "model": "smollm2", "max_tokens": 160, "concurrency": 2, "timeout": 300, **more}


def test_replies_have_the_form_asked_for(endpoint: str, tmp_path: Path) -> None:
    ctx = support.context(tmp_path)
    ctx.llm_base_urls = (endpoint,)
    with open_llm(ctx, LlmOptions.model_validate(options(endpoint))) as llm:

        async def judge(text: str) -> Verdict:
            return await llm.ask([{"role": "user", "content": f"Is this about safety? {text}"}], Verdict)

        assert all(isinstance(verdict, Verdict) for verdict in llm.map(TEXTS, judge))
        assert llm.usage.requests >= len(TEXTS) and llm.usage.completion_tokens > 0


@pytest.mark.parametrize("form", ["auto", "none"])
def test_a_dataset_keeps_only_what_its_texts_carry(endpoint: str, tmp_path: Path, form: str) -> None:
    ctx = support.context(tmp_path)
    ctx.llm_base_urls = (endpoint,)
    chunks = [{"chunk_id": f"d{n}:0", "document_id": f"d{n}", "text": text} for n, text in enumerate(TEXTS)]
    given = {"source": {"chunks": chunks}, "mode": "llm", "llm": options(endpoint, response_format=form)}
    more = {"generation_mode": "qa", "datasets_per_chunk": 1, "splits": {"train": 1.0}, "min_output_chars": 1}
    try:
        result = run(ctx, Parameters.model_validate({**given, **more}))
    except PermanentError as error:
        assert error.code in ("no_records", "llm_bad_reply", "llm_truncated", "split_too_small"), error
        return
    for _, record in support.records(ctx.folder):
        assert record["context"] in TEXTS
        assert is_supported("qa", record["answer"], [record["context"]], record["context"])
    told = result["llm"]
    assert isinstance(told, dict) and told["requests"] >= len(TEXTS)

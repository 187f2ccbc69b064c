"""dataset_generation with a language model: what is asked, what is kept, what is told of failures."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from samples import dataset_support as support
from samples.document_support import read_lines
from samples.llm_stub import NONSENSE, Answer, Asked, LlmStub, llm_stub, refused

from worker.context import JobCancelled, PermanentError, RetryableError
from worker.jobs.dataset_generation.parameters import Parameters
from worker.jobs.dataset_generation.records import MODELS
from worker.jobs.dataset_generation.run import run
from worker.jobs.dataset_generation.support import is_supported

TEXT = "The pump was inspected on 3 March 2021. Its bearings showed traces of wear."


def text_of(asked: Asked) -> str:
    return asked.text.partition("\nText:\n")[2].partition("\n\nQuestions:\n")[0].strip()


def writes(asked: Asked) -> Answer:
    """A model that does as it is told, in each mode: it takes the first two sentences."""
    first, second, *_ = re.split(r"(?<=\.) ", text_of(asked))
    name = first.split()[0]
    if "Answer the questions" in asked.text:
        numbers = range(1, asked.text.partition("\n\nQuestions:\n")[2].count("\n") + 2)
        return {"records": [{"number": n, "answer": f"It is said that {first}", "quotes": [first]} for n in numbers]}
    if "pairs of an instruction" in asked.text:
        made = [
            {"instruction": f"Say it of {name}: {n}", "output": s, "quotes": [s]} for n, s in enumerate((first, second))
        ]
    elif "each with its answer" in asked.text:
        made = [{"question": f"How does {name} begin?", "answer": first, "quotes": [first]}]
    elif "different questions" in asked.text:
        made = [{"question": f"What is it that {name} begins with?", "quotes": [first]}]
    else:
        made = [{"summary": f"{first} {second}", "quotes": [first, second]}]
    return {"records": made}


def generate(
    root: Path, stub: LlmStub, name: str = "own", llm: dict[str, Any] | None = None, **values: Any
) -> dict[str, Any]:
    ctx = support.context(root, name)
    ctx.llm_base_urls = (stub.base_url,)
    given = {"source": {"chunks": support.chunks()}, "mode": "llm", "llm": stub.options(**(llm or {})), **values}
    result: dict[str, Any] = run(ctx, Parameters.model_validate(given))
    return result


@pytest.mark.parametrize(
    ("mode", "each"), [("instruction", 2), ("qa", 1), ("question", 1), ("answer", 3), ("summarization", 1)]
)
def test_each_mode(tmp_path: Path, mode: str, each: int) -> None:
    with llm_stub(writes) as stub:
        result = generate(tmp_path, stub, generation_mode=mode, dedup_threshold=0)
    records = support.records(tmp_path / "jobs" / "own")
    assert result["entries_count"] == len(records) == 40 * each and len(stub.asked) == 40
    assert result["quality"]["groundedness"] == result["quality"]["schema_validity"] == 1.0
    assert result["quality"]["tasks"] == {mode: len(records)}
    texts = {chunk["text"] for chunk in support.chunks()}
    for _, record in records:
        MODELS[result["schema"]].model_validate(record)
        assert record.get("input", record.get("context")) in texts
    if mode == "question":
        assert all(record["output"].startswith("What is it that Document") for _, record in records)
        assert len({record["instruction"] for _, record in records}) == 4
    if mode == "answer":
        assert all(record["answer"].startswith("It is said") for _, record in records)
        assert all(re.match("What|Which", record["question"]) for _, record in records)


def test_the_result_and_the_files_tell_of_the_model(tmp_path: Path) -> None:
    with llm_stub(writes) as stub:
        result = generate(tmp_path, stub, llm={"api_key_env": None})
    told = result["llm"]
    assert (told["model"], told["requests"], told["failed_items"], told["grounded_share"]) == ("stub", 40, 0, 1.0)
    assert told["prompt_tokens"] > told["completion_tokens"] > 0 and not told["budget_spent"]
    assert (result["failed_items"], result["errors"]) == (0, [])
    folder = tmp_path / "jobs" / "own"
    card = (folder / "README.md").read_text("utf-8")
    assert "language model `stub`" in card and "- synthetic\n" in card and "no new prose" not in card
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["parameters"]["llm"]["model"] == "stub"
    assert read_lines(folder / "errors.jsonl") == [] and result["artifacts"]["errors"] == "errors.jsonl"
    assert {file["path"] for file in manifest["files"]} == {f.name for f in folder.iterdir()} - {"manifest.json"}


def test_offline_no_model_is_told_of(tmp_path: Path) -> None:
    result = support.generate(tmp_path, {"chunks": support.chunks()})
    assert (result["llm"], result["failed_items"], result["errors"]) == (None, 0, [])
    assert "errors" not in result["artifacts"] and not (tmp_path / "jobs" / "own" / "errors.jsonl").exists()


def test_two_runs_are_equal_whatever_ends_first(tmp_path: Path) -> None:
    results = []
    with llm_stub(writes) as stub:
        for concurrency in (1, 8):
            results.append(generate(tmp_path, stub, f"at{concurrency}", concurrency=concurrency, batch_size=7))
        assert stub.most_at_once > 1
    assert results[0] == results[1]
    for file in (tmp_path / "jobs" / "at1").iterdir():
        if file.name != "manifest.json":
            assert (tmp_path / "jobs" / "at8" / file.name).read_bytes() == file.read_bytes(), file.name


def test_what_is_not_in_the_text_is_dropped_and_counted(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Answer:
        made = writes(asked)
        assert isinstance(made, dict)
        good, other = made["records"]
        bad = {**other, "quotes": ["Nobody ever wrote this sentence in any of the given texts"]}
        mixed = {**other, "quotes": [*other["quotes"], *bad["quotes"]]}
        return {"records": [good, bad, mixed, {**good, "output": f"{good['output']} In 1999."}, {**good, "quotes": []}]}

    with llm_stub(answer) as stub:
        result = generate(tmp_path, stub, datasets_per_chunk=10)
    assert result["rejected"]["ungrounded"] == result["llm"]["ungrounded_dropped"] == 160
    assert result["entries_count"] == 40 and result["llm"]["grounded_share"] == 0.2
    rejected = read_lines(tmp_path / "jobs" / "own" / "rejected.jsonl")
    assert {line["reason"] for line in rejected} == {"ungrounded"}
    assert not any("1999" in record["output"] for _, record in support.records(tmp_path / "jobs" / "own"))


def test_quotes_that_are_nearly_right_are_taken(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Answer:
        made = writes(asked)
        assert isinstance(made, dict)
        return {"records": [{**each, "quotes": [each["quotes"][0].upper().capitalize()]} for each in made["records"]]}

    with llm_stub(answer) as stub:
        assert generate(tmp_path, stub)["llm"]["grounded_share"] == 1.0


def test_texts_that_fail_are_told_and_do_not_stop_the_others(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Answer:
        return NONSENSE if "Document003" in asked.text else writes(asked)

    with llm_stub(answer) as stub:
        result = generate(tmp_path, stub)
    assert result["status"] == "completed" and result["failed_items"] == result["llm"]["failed_items"] == 4
    assert [error["chunk_id"] for error in result["errors"]] == [f"d3:{n}" for n in range(4)]
    assert set(result["errors"][0]) == {"code", "message", "document_id", "chunk_id", "stage", "retryable"}
    assert {error["code"] for error in result["errors"]} == {"llm_bad_reply"}
    assert read_lines(tmp_path / "jobs" / "own" / "errors.jsonl") == result["errors"]


def test_fifty_errors_are_told_and_all_are_kept(tmp_path: Path) -> None:
    chunks = support.chunks(40)
    with llm_stub(lambda asked: writes(asked) if re.search("Document00[0-4]", asked.text) else NONSENSE) as stub:
        result = generate(tmp_path, stub, source={"chunks": chunks})
    assert result["failed_items"] == 140 and len(result["errors"]) == 50
    assert len(read_lines(tmp_path / "jobs" / "own" / "errors.jsonl")) == 140
    assert len(json.dumps(result)) < 64_000


def _fails(root: Path, answer: Callable[[Asked], Answer] | Answer, kind: type[Exception], **llm: Any) -> str:
    with llm_stub(answer) as stub, pytest.raises(kind) as caught:
        generate(root, stub, llm=llm)
    assert list((root / "jobs" / "own").iterdir()) == []
    return str(caught.value)


def test_when_every_text_fails_the_job_fails(tmp_path: Path) -> None:
    assert _fails(tmp_path, NONSENSE, PermanentError).startswith("llm_bad_reply: All 40 items failed")


def test_when_the_endpoint_is_away_the_job_may_be_tried_again(tmp_path: Path) -> None:
    assert _fails(tmp_path, refused(503), RetryableError).startswith("llm_unavailable: 5 items in a row failed")


def test_failures_beyond_the_rate_fail_the_job(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Answer:
        return NONSENSE if "Document003" in asked.text else writes(asked)

    with llm_stub(answer) as stub:
        assert generate(tmp_path, stub, max_error_rate=0.1)["failed_items"] == 4
        with pytest.raises(PermanentError, match=r"too_many_errors: 4 items failed \(llm\)"):
            generate(tmp_path, stub, max_error_rate=0.09)
        with pytest.raises(PermanentError, match="too_many_errors: 1 item failed"):
            generate(tmp_path, stub, fail_fast=True)


def test_when_the_model_writes_nothing(tmp_path: Path) -> None:
    assert "the model wrote none" in _fails(tmp_path, {"records": []}, PermanentError)


def test_a_key_that_is_not_there_is_told_before_anything_is_read(tmp_path: Path) -> None:
    assert "NO_SUCH_KEY" in _fails(tmp_path, writes, PermanentError, api_key_env="NO_SUCH_KEY")


def test_a_budget_makes_a_smaller_dataset(tmp_path: Path) -> None:
    with llm_stub(writes) as stub:
        result = generate(tmp_path, stub, llm={"max_requests": 15})
    assert len(stub.asked) == 15 and result["failed_items"] == 25 and result["llm"]["budget_spent"]
    assert {error["code"] for error in result["errors"]} == {"llm_budget_spent"}


def test_a_prompt_of_one_s_own(tmp_path: Path) -> None:
    prompt = "Only {count}, of {categories}, under {headings}; {{braces}} stay.\nText:\n{text}"
    chunks = [{**chunk, "headings": ["Manual", "Tanks"]} for chunk in support.chunks()]
    (tmp_path / "input").mkdir()
    support.write_lines(tmp_path / "input" / "chunks.jsonl", chunks)
    with llm_stub({"records": []}) as stub, pytest.raises(PermanentError):
        generate(tmp_path, stub, source={"path": "chunks.jsonl"}, prompt=prompt, datasets_per_chunk=5)
    said = stub.asked[0].body["messages"][-1]["content"]
    assert said.startswith("Only 5, of none, under Manual > Tanks; {braces} stay.\nText:\nDocument")


def test_categories_and_questions_reach_the_model(tmp_path: Path) -> None:
    with llm_stub(writes) as stub:
        found = support.extractions(support.chunks())
        source = {"extractions": found and [_inline(each) for each in found], "chunks": support.chunks()}
        generate(tmp_path, stub, source=source, generation_mode="answer")
    said = stub.asked[0].text
    assert "Categories: storage/tanks\n" in said and re.search(r"Questions:\n1\. Wh.* tanks\?", said)


def _inline(extraction: dict[str, Any]) -> dict[str, Any]:
    names = ("text", "category_path", "category_id", "chunk_id", "document_id", "confidence")
    return {name: extraction[name] for name in names}


def test_cancelling_leaves_nothing(tmp_path: Path) -> None:
    with llm_stub(writes) as stub:
        ctx = support.context(tmp_path)
        ctx.llm_base_urls = (stub.base_url,)

        def check() -> None:
            if len(stub.asked) > 10:
                raise JobCancelled

        ctx.check = check
        given = {"source": {"chunks": support.chunks()}, "mode": "llm", "llm": stub.options()}
        with pytest.raises(JobCancelled):
            run(ctx, Parameters.model_validate(given))
    assert len(stub.asked) < 40 and list(ctx.folder.iterdir()) == []
    assert "Asking the model" in {step for _, step, *_ in ctx.notes}


@pytest.mark.parametrize(
    ("task", "output", "quotes", "supported"),
    [
        ("qa", "The bearings show wear.", ["Its bearings showed traces of wear."], True),
        ("qa", "On 3 March 2021.", ["The pump was inspected on 3 March 2021."], True),
        ("qa", "On 4 March 2021.", ["The pump was inspected on 3 March 2021."], False),
        ("qa", "Yes.", ["Its bearings showed traces of wear."], True),
        ("qa", "Yes.", [], False),
        ("qa", "Yes.", ["Its bearings were new."], False),
        ("qa", "Somebody replaced every motor yesterday evening.", ["Its bearings showed traces of wear."], False),
        ("question", "Which components deserve somebody's attention?", ["Its bearings showed traces of wear."], True),
        ("question", "What happened in 1999?", ["Its bearings showed traces of wear."], False),
    ],
)
def test_what_a_text_supports(task: str, output: str, quotes: list[str], supported: bool) -> None:
    assert is_supported(task, output, quotes, TEXT) is supported

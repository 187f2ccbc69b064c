"""The client of language models against a stand-in: what it makes of good and bad replies, failures, limits, stops."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict
from samples.document_support import FakeContext
from samples.llm_stub import HANG, NONSENSE, Answer, Asked, LlmStub, Said, cut, in_turn, llm_stub, refused

from worker.context import JobCancelled, PermanentError, RetryableError
from worker.jobs.shared.llm.errors import ItemFailure
from worker.jobs.shared.llm.options import LlmItems, LlmOptions
from worker.jobs.shared.llm.session import Llm, open_llm

GOOD = {"answer": "yes", "number": 3}
LONG = {"answer": "x" * 1600, "number": 3}


class Reply(BaseModel):
    model_config = ConfigDict(extra="forbid")

    answer: str
    number: int


@contextmanager
def session(stub: LlmStub, root: Path, **options: Any) -> Iterator[Llm]:
    ctx = FakeContext(root / "job", root)
    ctx.llm_base_urls = (stub.base_url,)
    with open_llm(ctx, LlmOptions.model_validate(stub.options(**options))) as llm:
        yield llm


def ask_each(llm: Llm, count: int, note: Callable[[int], None] = lambda done: None) -> list[Reply | ItemFailure]:
    async def one(item: int) -> Reply:
        return await llm.ask([{"role": "user", "content": f"question {item}"}], Reply)

    return llm.map(range(count), one, note)


def ask(
    root: Path, answer: Callable[[Asked], Answer] | Answer, **options: Any
) -> tuple[Any, LlmStub, dict[str, object]]:
    """What comes of one question."""
    with llm_stub(answer) as stub, session(stub, root, **options) as llm:
        (outcome,) = ask_each(llm, 1)
        return outcome, stub, llm.usage.as_result("stub")


def test_a_good_reply(tmp_path: Path) -> None:
    outcome, stub, usage = ask(tmp_path, GOOD, temperature=0.5, max_tokens=77)
    assert outcome == Reply(answer="yes", number=3)
    (asked,) = stub.asked
    assert asked.body["model"] == "stub" and asked.body["temperature"] == 0.5 and asked.body["max_tokens"] == 77
    schema = asked.body["response_format"]["json_schema"]["schema"]
    assert schema["required"] == ["answer", "number"] and schema["additionalProperties"] is False
    assert "Authorization" not in asked.headers
    assert usage["requests"] == 1 and usage["prompt_tokens"] == len(asked.text) // 4
    assert usage["completion_tokens"] == len('{"answer": "yes", "number": 3}') // 4
    assert not any(usage[name] for name in ("repaired", "truncated", "failed_items", "ungrounded_dropped"))


@pytest.mark.parametrize(
    "text",
    [
        '```json\n{"answer": "yes", "number": 3}\n```',
        'Here it is: {"answer": "yes", "number": 3} I hope it helps.',
        '<think>{"answer": "no", "number": 0} is wrong</think>{"answer": "yes", "number": 3}',
        'it is wrong to say {"answer": "no"}</think>\n{"answer": "yes", "number": 3}',
        'a set {x} of {"answer": "yes", "number": 3}',
    ],
)
def test_json_is_found_in_what_is_said(tmp_path: Path, text: str) -> None:
    outcome, stub, _ = ask(tmp_path, text)
    assert outcome == Reply(answer="yes", number=3) and len(stub.asked) == 1


@pytest.mark.parametrize(
    ("first", "named"),
    [
        (NONSENSE, "there is no JSON"),
        ({"answer": "yes"}, "number: Field required"),
        ({"answer": "yes", "number": "many"}, "number: Input should be a valid integer"),
        ({**GOOD, "more": 1}, "more: Extra inputs are not permitted"),
        (Said(None), "the reply is empty"),
        ("<think>and then it", "the reply is empty"),
        ("[" * 100_000, "there is no JSON"),
    ],
)
def test_a_bad_reply_is_mended_with_the_reasons(tmp_path: Path, first: Answer, named: str) -> None:
    outcome, stub, usage = ask(tmp_path, in_turn(first, GOOD))
    assert outcome == Reply(answer="yes", number=3)
    assert (usage["requests"], usage["repaired"], usage["failed_items"]) == (2, 1, 0)
    *_, said, complaint = stub.asked[1].body["messages"]
    assert said["role"] == "assistant" and complaint["role"] == "user" and named in complaint["content"]


def test_one_repair_and_no_more(tmp_path: Path) -> None:
    outcome, stub, usage = ask(tmp_path, NONSENSE)
    assert outcome.code == "llm_bad_reply" and "no JSON" in outcome.message and not outcome.retryable
    assert len(stub.asked) == 2 and (usage["repaired"], usage["failed_items"]) == (0, 1)
    error = outcome.as_error("generate", {"chunk_id": "d0:1"})
    assert list(error) == ["code", "message", "chunk_id", "stage", "retryable"]


def test_a_reply_that_is_cut_off_gets_twice_the_room(tmp_path: Path) -> None:
    outcome, stub, usage = ask(tmp_path, in_turn(cut('{"answer": "ye'), GOOD), max_tokens=100)
    assert outcome == Reply(answer="yes", number=3)
    assert [asked.body["max_tokens"] for asked in stub.asked] == [100, 200]
    assert (usage["truncated"], usage["repaired"]) == (1, 0)


def test_a_reply_that_stays_cut_off_fails_its_item(tmp_path: Path) -> None:
    outcome, stub, usage = ask(tmp_path, cut('{"answer": "ye'), max_tokens=100)
    assert outcome.code == "llm_truncated" and "200 tokens" in outcome.message
    assert len(stub.asked) == 2 and usage["truncated"] == 1


def test_too_many_requests_are_sent_again_when_the_endpoint_says(tmp_path: Path) -> None:
    begun = time.monotonic()
    outcome, stub, usage = ask(tmp_path, in_turn(refused(429, retry_after="1"), GOOD), max_retries=1)
    assert outcome == Reply(answer="yes", number=3) and len(stub.asked) == 2
    assert time.monotonic() - begun >= 0.9
    assert usage["requests"] == 1


def test_a_broken_endpoint_is_asked_again(tmp_path: Path) -> None:
    outcome, stub, _ = ask(tmp_path, in_turn(refused(500), GOOD), max_retries=1)
    assert outcome == Reply(answer="yes", number=3) and len(stub.asked) == 2


def test_a_hanging_endpoint_ends_at_the_timeout(tmp_path: Path) -> None:
    outcome, stub, _ = ask(tmp_path, HANG, timeout=0.2, max_retries=1)
    assert outcome.code == "llm_unavailable" and outcome.retryable and len(stub.asked) == 2


@pytest.mark.parametrize("supported", ["json_schema", "json_object", "none"])
def test_forms_are_tried_downwards_and_remembered(tmp_path: Path, supported: str) -> None:
    ladder = ["json_schema", "json_object", "none"]

    def answer(asked: Asked) -> Answer:
        return (
            GOOD if ladder.index(asked.format) >= ladder.index(supported) else refused(400, "unknown response_format")
        )

    with llm_stub(answer) as stub, session(stub, tmp_path, concurrency=1) as llm:
        assert ask_each(llm, 3) == [Reply(answer="yes", number=3)] * 3
    tried = ladder[: ladder.index(supported) + 1]
    assert [asked.format for asked in stub.asked] == [*tried, supported, supported]
    told = [asked for asked in stub.asked if asked.format != "json_schema"]
    assert all("JSON Schema" in asked.text and '"required"' in asked.text for asked in told)


def test_a_fixed_form_is_the_only_one(tmp_path: Path) -> None:
    outcome, stub, _ = ask(tmp_path, refused(400, "unknown"), response_format="json_object")
    assert outcome.code == "llm_bad_request" and "unknown" in outcome.message
    assert [asked.format for asked in stub.asked] == ["json_object"]


def test_a_bad_request_does_not_spoil_the_form_for_others(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Answer:
        return refused(400, "context is too long") if "question 0" in asked.text else GOOD

    with llm_stub(answer) as stub, session(stub, tmp_path, concurrency=1) as llm:
        first, *others = ask_each(llm, 3)
    assert isinstance(first, ItemFailure) and first.code == "llm_bad_request" and "too long" in first.message
    assert others == [Reply(answer="yes", number=3)] * 2
    assert [asked.format for asked in stub.asked[3:]] == ["json_schema"] * 2


def test_a_form_that_has_worked_is_kept(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Answer:
        return refused(400, "context is too long") if "question 1" in asked.text else GOOD

    with llm_stub(answer) as stub, session(stub, tmp_path, concurrency=1) as llm:
        outcomes = ask_each(llm, 3)
    assert [isinstance(outcome, Reply) for outcome in outcomes] == [True, False, True]
    assert [asked.format for asked in stub.asked] == ["json_schema"] * 3


def test_names_of_parameters_are_learned(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Answer:
        if "max_tokens" in asked.body:
            return refused(400, "use 'max_completion_tokens' instead", param="max_tokens")
        return refused(400, "only the default", param="temperature") if "temperature" in asked.body else GOOD

    outcome, stub, _ = ask(tmp_path, answer, max_tokens=99)
    assert outcome == Reply(answer="yes", number=3)
    assert stub.asked[-1].body["max_completion_tokens"] == 99 and stub.asked[-1].format == "json_schema"


def test_results_keep_the_order_and_few_run_at_once(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Answer:
        number = int(asked.text.rpartition(" ")[2])
        return {"answer": "x", "number": number} if number % 7 else NONSENSE

    noted: list[int] = []
    with llm_stub(answer) as stub, session(stub, tmp_path, concurrency=3) as llm:
        outcomes = ask_each(llm, 30, noted.append)
        assert llm.usage.failed_items == 5
    assert [outcome.number for outcome in outcomes if isinstance(outcome, Reply)] == [n for n in range(30) if n % 7]
    assert [place for place, outcome in enumerate(outcomes) if isinstance(outcome, ItemFailure)] == [0, 7, 14, 21, 28]
    assert stub.most_at_once == 3
    assert noted == sorted(noted) and noted[-1] == 30


def test_requests_per_minute(tmp_path: Path) -> None:
    begun = time.monotonic()
    with llm_stub(GOOD) as stub, session(stub, tmp_path, requests_per_minute=60, concurrency=64) as llm:
        ask_each(llm, 61)
    assert time.monotonic() - begun >= 0.9 and len(stub.asked) == 61


def test_a_spent_budget_ends_the_asking_and_keeps_what_there_is(tmp_path: Path) -> None:
    with llm_stub(GOOD) as stub, session(stub, tmp_path, concurrency=1, max_requests=3) as llm:
        outcomes = ask_each(llm, 10)
        assert llm.usage.budget_spent and llm.usage.failed_items == 7
        llm.raise_if_nothing_came()
    assert len(stub.asked) == 3
    assert [isinstance(outcome, Reply) for outcome in outcomes] == [True] * 3 + [False] * 7
    last = outcomes[-1]
    assert isinstance(last, ItemFailure) and last.code == "llm_budget_spent"
    assert "max_requests" in last.message


def without_usage(asked: Asked) -> Said:
    message = {"role": "assistant", "content": json.dumps(LONG)}
    choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
    told = {"id": "r", "object": "chat.completion", "created": 0, "model": "stub", "choices": choices}
    return Said(raw=json.dumps(told).encode())


@pytest.mark.parametrize("answer", [LONG, without_usage])
@pytest.mark.parametrize("concurrency", [1, 16])
def test_no_more_tokens_than_allowed_are_used(
    tmp_path: Path, concurrency: int, answer: Callable[[Asked], Answer] | Answer
) -> None:
    limits = {"max_total_tokens": 4000, "max_tokens": 500, "concurrency": concurrency}
    with llm_stub(answer) as stub, session(stub, tmp_path, **limits) as llm:
        outcomes = ask_each(llm, 40)
        assert 4000 - 700 < llm.usage.total_tokens <= 4000 and llm.usage.budget_spent
        # The stub counts two for each; without its word the schema counts too.
        assert (llm.usage.prompt_tokens > 50 * llm.usage.requests) is (answer is without_usage)
    answered = sum(isinstance(outcome, Reply) for outcome in outcomes)
    assert len(stub.asked) == answered == llm.usage.requests > 5 and llm.usage.failed_items == 40 - answered
    last = next(outcome for outcome in reversed(outcomes) if isinstance(outcome, ItemFailure))
    assert last.code == "llm_budget_spent" and "max_total_tokens is 4000" in last.message


def test_what_short_replies_leave_of_the_tokens_is_for_others(tmp_path: Path) -> None:
    limits = {"max_total_tokens": 3000, "max_tokens": 1000, "concurrency": 16}
    with llm_stub(GOOD) as stub, session(stub, tmp_path, **limits) as llm:
        assert ask_each(llm, 40) == [Reply(answer="yes", number=3)] * 40
        assert stub.most_at_once == 2


def test_failed_requests_give_back_the_tokens_that_they_might_have_used(tmp_path: Path) -> None:
    limits = {"max_total_tokens": 1500, "max_tokens": 1000, "concurrency": 1}
    with llm_stub(in_turn(refused(503), refused(503), GOOD)) as stub, session(stub, tmp_path, **limits) as llm:
        failed = [isinstance(outcome, ItemFailure) for outcome in ask_each(llm, 6)]
    assert failed == [True] * 2 + [False] * 4


def test_fewer_tokens_than_one_reply_may_have_are_enough_for_none(tmp_path: Path) -> None:
    outcome, stub, _ = ask(tmp_path, GOOD, max_total_tokens=10)
    assert outcome.code == "llm_budget_spent" and not stub.asked
    assert "0 are used" in outcome.message and "the next request may use" in outcome.message


def test_an_endpoint_that_is_away_ends_the_job(tmp_path: Path) -> None:
    with llm_stub(refused(503)) as stub, session(stub, tmp_path, concurrency=1) as llm:
        with pytest.raises(RetryableError, match="5 items in a row") as caught:
            ask_each(llm, 20)
        assert caught.value.code == "llm_unavailable" and len(stub.asked) == 5


def test_nobody_listens(tmp_path: Path) -> None:
    with llm_stub(GOOD) as stub:
        pass
    with session(stub, tmp_path) as llm:
        (outcome,) = ask_each(llm, 1)
        assert isinstance(outcome, ItemFailure) and outcome.code == "llm_unavailable"
        with pytest.raises(RetryableError, match="All 1 items failed"):
            llm.raise_if_nothing_came()


def ask_some(llm: Llm, items: Sequence[bool]) -> list[Reply | ItemFailure | None]:
    """About those that are true; the others need no answer."""

    async def one(item: bool) -> Reply | None:
        return await llm.ask([{"role": "user", "content": "question"}], Reply) if item else None

    return llm.map(items, one)


def test_items_that_ask_nothing_say_nothing_of_the_endpoint(tmp_path: Path) -> None:
    with llm_stub(refused(503)) as stub, session(stub, tmp_path, concurrency=1) as llm:
        with pytest.raises(RetryableError, match="5 items in a row"):
            ask_some(llm, [True, False] * 10)
        assert len(stub.asked) == 5


def test_when_all_that_asked_have_failed_nothing_came(tmp_path: Path) -> None:
    with llm_stub(NONSENSE) as stub, session(stub, tmp_path) as llm:
        ask_some(llm, [True, False, True])
        with pytest.raises(PermanentError, match="All 2 items failed"):
            llm.raise_if_nothing_came()
    with llm_stub(GOOD) as stub, session(stub, tmp_path) as llm:
        ask_some(llm, [False, False])
        llm.raise_if_nothing_came()


def test_only_failures_in_a_row_count(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Answer:
        return refused(503) if asked.number % 5 != 4 else GOOD

    with llm_stub(answer) as stub, session(stub, tmp_path, concurrency=1) as llm:
        assert sum(isinstance(outcome, Reply) for outcome in ask_each(llm, 20)) == 4


@pytest.mark.parametrize(("status", "code"), [(401, "llm_refused"), (404, "llm_refused"), (307, "llm_redirected")])
def test_what_every_item_would_meet_ends_the_job_at_once(tmp_path: Path, status: int, code: str) -> None:
    said = refused(status, "no such thing", location="http://127.0.0.1:1/")
    with llm_stub(said) as stub, session(stub, tmp_path, concurrency=1) as llm:
        with pytest.raises(PermanentError) as caught:
            ask_each(llm, 20)
        assert caught.value.code == code and len(stub.asked) == 1


@pytest.mark.parametrize("raw", [b"<html>", b"[]", b"{}", b'{"choices": []}', b'{"choices": [{}]}', b"null"])
def test_what_is_no_completion(tmp_path: Path, raw: bytes) -> None:
    outcome, _, _ = ask(tmp_path, Said(raw=raw))
    assert outcome.code == "llm_bad_reply"


def test_cancelling_works_at_once(tmp_path: Path) -> None:
    with llm_stub(HANG) as stub:
        asked = threading.Event()
        stub.answer = lambda request: asked.set() or HANG

        def check() -> None:
            if asked.is_set():
                raise JobCancelled

        ctx = FakeContext(tmp_path / "job", tmp_path, check)
        ctx.llm_base_urls = (stub.base_url,)
        begun = time.monotonic()
        options = LlmOptions.model_validate(stub.options(timeout=60))
        with open_llm(ctx, options) as llm, pytest.raises(JobCancelled):
            ask_each(llm, 4)
        assert time.monotonic() - begun < 5


def test_the_job_s_time_limit_is_the_longest_timeout(tmp_path: Path) -> None:
    with llm_stub(HANG) as stub:
        ctx = FakeContext(tmp_path / "job", tmp_path)
        ctx.llm_base_urls = (stub.base_url,)
        ctx.seconds_left = 1.0
        with open_llm(ctx, LlmOptions.model_validate(stub.options(timeout=60))) as llm:
            (outcome,) = ask_each(llm, 1)
    assert isinstance(outcome, ItemFailure) and outcome.code == "llm_unavailable"


def test_a_key_is_sent_and_never_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("STUB_KEY", "sk-very-secret")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-somebody")
    caplog.set_level(logging.DEBUG)
    outcome, stub, usage = ask(tmp_path, lambda asked: refused(400, f"bad {asked.headers}"), api_key_env="STUB_KEY")
    assert stub.asked[0].headers["Authorization"] == "Bearer sk-very-secret"
    assert "org-of-somebody" not in str(stub.asked[0].headers)
    assert "***" in outcome.message
    assert "sk-very-secret" not in f"{outcome} {usage} {caplog.text}"


def test_a_key_that_is_not_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STUB_KEY", raising=False)
    with pytest.raises(PermanentError, match="STUB_KEY") as caught:
        ask(tmp_path, GOOD, api_key_env="STUB_KEY")
    assert caught.value.code == "llm_key_missing"


def test_a_missing_library_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.jobs.shared.libraries.find_spec", lambda name: None if name == "openai" else 1)
    with pytest.raises(PermanentError, match=r"openai is not installed; .* extra 'llm'"):
        ask(tmp_path, GOOD)


@pytest.mark.parametrize(
    ("rate", "items", "most"), [(0.29, 100, 29), (0.57, 100, 57), (0.285, 100, 28), (0.0, 9, 0), (1.0, 9, 9)]
)
def test_exactly_the_part_that_may_fail_may_fail(rate: float, items: int, most: int) -> None:
    options = {"base_url": "http://127.0.0.1/v1", "model": "m"}
    given = LlmItems.model_validate({"mode": "llm", "llm": options, "max_error_rate": rate})
    assert given.most_failures(items) == most

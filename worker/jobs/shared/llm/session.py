"""A language model as a job uses it: replies of a given form, for many items at a time."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import BaseModel

from worker.context import JobContext, PermanentError, RetryableError
from worker.jobs.shared.libraries import require
from worker.jobs.shared.llm.batch import run_all
from worker.jobs.shared.llm.budget import Budget, estimate
from worker.jobs.shared.llm.dialect import Dialect, Message, response_format, worded
from worker.jobs.shared.llm.errors import (
    BAD_REPLY,
    TOO_MANY,
    TRUNCATED,
    UNAVAILABLE,
    ItemError,
    ItemFailure,
    RefusedError,
)
from worker.jobs.shared.llm.options import FIELD, LlmOptions
from worker.jobs.shared.llm.replies import Unusable, read_reply
from worker.jobs.shared.llm.usage import LlmUsage

if TYPE_CHECKING:
    from worker.jobs.shared.llm.endpoint import Completion, Endpoint

T = TypeVar("T")
V = TypeVar("V")
R = TypeVar("R", bound=BaseModel)

# So many items in a row that did not reach the endpoint end the job.
UNREACHABLE_ITEMS: Final = 5
# Of one request in other forms; each attempt has learned something.
_MOST_FORMS: Final = 6
_SHORTEST_TIMEOUT: Final = 1.0
# Of the item whose task runs.
_HAS_ASKED: Final[ContextVar[bool]] = ContextVar("has_asked", default=False)


@contextmanager
def open_llm(ctx: JobContext, options: LlmOptions, field: str = FIELD) -> Iterator[Llm]:
    """Not inside of a running event loop: it has one of its own. `field`: which parameter has the options.

    Raises PermanentError `missing_dependency`, `llm_base_url_refused` or `llm_key_missing`.
    """
    require(["openai", "aiolimiter"], "llm")
    # Only now: what it imports may have been missing.
    from worker.jobs.shared.llm.endpoint import Endpoint

    endpoint = Endpoint(options, ctx.llm_base_urls, field)
    with asyncio.Runner() as runner:
        try:
            yield Llm(ctx, options, field, endpoint, runner)
        finally:
            runner.run(endpoint.close())


class Llm:
    """One endpoint for one job. `usage` is for the job's result: `llm.usage.as_result(options.model)`. The job ends as
    soon as more items than `most_failures` have failed."""

    def __init__(
        self, ctx: JobContext, options: LlmOptions, field: str, endpoint: Endpoint, runner: asyncio.Runner
    ) -> None:
        self._ctx = ctx
        self._options = options
        self._field = field
        self._endpoint = endpoint
        self._runner = runner
        self._dialect = Dialect(options.response_format)
        self._at_once = asyncio.Semaphore(options.concurrency)
        self._unreachable = self._answered = 0
        self._last_failure: ItemFailure | None = None
        self.most_failures = math.inf
        self.usage = LlmUsage()
        self._budget = Budget(options, field, self.usage)

    def map(
        self, items: Sequence[T], work: Callable[[T], Awaitable[V]], note: Callable[[int], None] = lambda done: None
    ) -> list[V | ItemFailure]:
        """`work` on each item, `concurrency` at a time; what comes of them in the order of the items.

        `work` asks with `ask`, and may raise ItemError, which makes its item fail and nothing else. `note` is told how
        many are done, in whatever order they end, and may raise JobCancelled. May be called many times. Everything that
        still runs is stopped at once when the job is cancelled, or anything else is raised.

        Raises JobCancelled, RetryableError `llm_unavailable` when five items in a row did not reach the endpoint,
        PermanentError or, when the last one did not reach it, RetryableError `too_many_errors`,
        PermanentError `llm_refused` (key, model or path), `llm_redirected` or `llm_base_url_refused`, and what `work`
        and `note` raise besides.
        """
        steps = run_all(items, lambda item: self._outcome(work, item), self._options.concurrency, self._ctx.check, note)
        return self._runner.run(steps)

    async def ask(self, messages: Sequence[Message], reply: type[R]) -> R:
        """What the model answers, as `reply` wants it; inside of `map` only.

        `messages`: `[{"role": "system" | "user" | "assistant", "content": ...}]`. `reply`: a model with
        `extra="forbid"` and without defaults, which is what endpoints take as a strict schema. A reply that is cut off
        is asked for once more with twice the room, one that does not fit once more with the reasons.

        Raises ItemError `llm_bad_reply`, `llm_truncated`, `llm_bad_request`, `llm_unavailable`, and `llm_budget_spent`
        when `max_requests` or `max_total_tokens` might be exceeded: no such request is made then, what was done before
        is kept, and the job ends with fewer items.
        """
        _HAS_ASKED.set(True)
        schema, room = reply.model_json_schema(), self._options.max_tokens
        completion = await self._complete(messages, schema, room)
        if completion.cut:
            self.usage.truncated += 1
            room *= 2
            completion = await self._complete(messages, schema, room)
        value = read_reply(completion.text, reply)
        if not isinstance(value, Unusable):
            return value
        if completion.cut:
            raise ItemError(TRUNCATED, f"the reply does not end within {room} tokens (twice {self._field}.max_tokens)")
        completion = await self._complete(_complained(messages, completion.text, value), schema, room)
        value = read_reply(completion.text, reply)
        if isinstance(value, Unusable):
            raise ItemError(BAD_REPLY, f"the model was told what is wrong and did not mend it: {value.problem}")
        self.usage.repaired += 1
        return value

    def raise_if_nothing_came(self) -> None:
        """After the last `map`, for jobs that are of no use when every item failed about which the model was asked.

        Raises RetryableError `llm_unavailable` when the last one did not reach the endpoint, else PermanentError with
        the last one's code.
        """
        failure = self._last_failure
        if failure is None or self._answered:
            return
        kind = RetryableError if failure.retryable else PermanentError
        raise kind(
            failure.code,
            f"All {self.usage.failed_items} items failed ({self._field}), the last because {failure.message}.",
        )

    def raise_if_never_reached(self) -> None:
        """After the last `map`, for jobs that are of use without. Raises RetryableError `llm_unavailable`."""
        if self._last_failure is not None and self._last_failure.retryable:
            self.raise_if_nothing_came()

    async def _outcome(self, work: Callable[[T], Awaitable[V]], item: T) -> V | ItemFailure:
        _HAS_ASKED.set(False)
        try:
            value = await work(item)
        except ItemError as error:
            return self._failed(error)
        # One that needs no answer says nothing of the endpoint.
        if _HAS_ASKED.get():
            self._answered += 1
            self._unreachable = 0
        return value

    def _failed(self, error: ItemError) -> ItemFailure:
        self.usage.failed_items += 1
        self._unreachable = self._unreachable + 1 if error.code == UNAVAILABLE else 0
        if self._unreachable >= UNREACHABLE_ITEMS:
            raise RetryableError(
                UNAVAILABLE, f"{UNREACHABLE_ITEMS} items in a row failed ({self._field}): {error.message}."
            )
        self._last_failure = ItemFailure(error.code, error.message, error.retryable)
        if self.usage.failed_items > self.most_failures:
            kind = RetryableError if error.retryable else PermanentError
            count = "1 item" if self.usage.failed_items == 1 else f"{self.usage.failed_items} items"
            allowed = "more than fail_fast or max_error_rate allow"
            raise kind(TOO_MANY, f"{count} failed ({self._field}), {allowed}; the last because {error.message}.")
        return self._last_failure

    async def _complete(self, messages: Sequence[Message], schema: dict[str, Any], room: int) -> Completion:
        refusal: RefusedError | None = None
        for _ in range(_MOST_FORMS):
            form = self._dialect.form
            said, wanted = worded(form, messages, schema), response_format(form, "reply", schema)
            prompt = estimate([said, wanted])
            async with self._at_once, self._budget.request(prompt + room):
                try:
                    completion = await self._endpoint.complete(said, form, wanted, room, self._timeout())
                except RefusedError as error:
                    refusal = error
                    if not self._dialect.learn(form, error):
                        break
                    continue
                # Not every endpoint tells.
                self.usage.prompt_tokens += completion.prompt_tokens or prompt
                self.usage.completion_tokens += completion.completion_tokens or estimate(completion.text)
            self._dialect.proven(form)
            return completion
        assert refusal is not None
        raise refusal

    def _timeout(self) -> float:
        left = self._ctx.seconds_left
        return self._options.timeout if left is None else max(_SHORTEST_TIMEOUT, min(self._options.timeout, left))


def _complained(messages: Sequence[Message], said: str, problem: Unusable) -> list[Message]:
    complaint = (
        f"This cannot be used: {problem.problem}. Answer again, with one JSON object of the form asked for only."
    )
    return [*messages, {"role": "assistant", "content": said}, {"role": "user", "content": complaint}]

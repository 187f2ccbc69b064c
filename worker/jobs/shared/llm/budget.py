"""What a job may ask of a model: each request is within the limits before it is sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from worker.jobs.shared.llm.errors import BUDGET_SPENT, ItemError
from worker.jobs.shared.llm.options import LlmOptions
from worker.jobs.shared.llm.usage import LlmUsage

_BYTES_OF_A_TOKEN: Final = 4


def estimate(said: Any) -> int:
    """Of a text, or of what is sent as JSON: about how many tokens it has."""
    text = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
    return -(-len(text.encode("utf-8", "replace")) // _BYTES_OF_A_TOKEN)


class Budget:
    """`field`: which parameter has the options; `usage`: what has been used."""

    def __init__(self, options: LlmOptions, field: str, usage: LlmUsage) -> None:
        self._options = options
        self._field = field
        self._usage = usage
        # Tokens that requests may use which run.
        self._held = 0
        self._ended = asyncio.Event()

    @asynccontextmanager
    async def request(self, tokens: int) -> AsyncIterator[None]:
        """The time of a request that may use so many `tokens`; inside of it what it has used is to be counted.

        Waits as long as others that run might leave it too few. Raises ItemError `llm_budget_spent`.
        """
        while self._must_wait(tokens):
            self._ended.clear()
            await self._ended.wait()
        self._check(tokens)
        self._usage.requests += 1
        self._held += tokens
        try:
            yield
        finally:
            self._held -= tokens
            self._ended.set()

    def _must_wait(self, tokens: int) -> bool:
        limit, used = self._options.max_total_tokens, self._usage.total_tokens
        return limit is not None and used + tokens <= limit < used + self._held + tokens

    def _check(self, tokens: int) -> None:
        requests, most = self._usage.requests, self._options.max_requests
        if most is not None and requests >= most:
            raise self._spent(f"max_requests is {most}, and {requests} are used")
        used, limit = self._usage.total_tokens, self._options.max_total_tokens
        if limit is not None and used + tokens > limit:
            raise self._spent(
                f"max_total_tokens is {limit}, {used} are used, and the next request may use {tokens} (its prompt and "
                "max_tokens)"
            )

    def _spent(self, why: str) -> ItemError:
        self._usage.budget_spent = True
        return ItemError(BUDGET_SPENT, f"{self._field}.{why}")

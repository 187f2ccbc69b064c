"""The wire: one request, the client library's retries, and errors in terms of items and jobs.

Imported only when the extra `llm` is there.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple, cast

import openai
from aiolimiter import AsyncLimiter
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam

from worker.context import PermanentError
from worker.jobs.shared.addresses import host_of
from worker.jobs.shared.llm.addresses import is_listed, public_address
from worker.jobs.shared.llm.dialect import Form, Message
from worker.jobs.shared.llm.errors import (
    BAD_REPLY,
    BAD_REQUEST,
    ItemError,
    RefusedError,
    UnreachableError,
    shortened,
)
from worker.jobs.shared.llm.options import LlmOptions, problems_of

# The client library fills them in from variables of the worker that nobody meant for this endpoint.
_FOREIGN_HEADERS: Final = ("openai-organization", "openai-project")
_NO_KEY: Final = "none"
_LOGGERS: Final = ("openai", "httpx", "httpx2", "httpcore", "httpcore2")


class Completion(NamedTuple):
    """`cut`: it ended because `max_tokens` was reached."""

    text: str
    cut: bool
    prompt_tokens: int
    completion_tokens: int


class Endpoint:
    """Raises PermanentError when the address is refused, or the variable of the key is not set."""

    def __init__(self, options: LlmOptions, base_urls: Sequence[str], field: str) -> None:
        for _, text in problems_of(options, base_urls, field):
            raise PermanentError("llm_base_url_refused", f"{text}.")
        # They would tell of each request, and at level debug what is in it.
        for name in _LOGGERS:
            logging.getLogger(name).setLevel(logging.WARNING)
        self._options = options
        self._field = field
        self._key = _key_of(options, field)
        self._listed = is_listed(options.base_url, base_urls)
        self._address: str | None = None
        rate = options.requests_per_minute
        self._limiter = None if rate is None else AsyncLimiter(rate, 60.0)
        self._http = openai.DefaultAsyncHttpxClient(
            follow_redirects=False, trust_env=self._listed, event_hooks={"request": [self._before_request]}
        )
        self._client = openai.AsyncOpenAI(
            base_url=options.base_url,
            api_key=self._key or _NO_KEY,
            max_retries=options.max_retries,
            http_client=self._http,
        )

    async def close(self) -> None:
        await self._client.close()

    async def complete(
        self,
        messages: Sequence[Message],
        form: Form,
        response_format: Mapping[str, Any] | None,
        max_tokens: int,
        timeout: float,
    ) -> Completion:
        """`timeout`: of one attempt, in seconds. Raises ItemError and PermanentError."""
        if not self._listed:
            await self._look_up()
        try:
            answer = await self._client.chat.completions.create(
                model=self._options.model,
                messages=cast("list[ChatCompletionMessageParam]", list(messages)),
                response_format=cast("Any", openai.omit if response_format is None else response_format),
                max_tokens=max_tokens if form.tokens_name == "max_tokens" else openai.omit,
                max_completion_tokens=max_tokens if form.tokens_name == "max_completion_tokens" else openai.omit,
                temperature=self._options.temperature if form.with_temperature else openai.omit,
                timeout=timeout,
            )
        except openai.APIStatusError as error:
            raise self._of_status(error) from None
        except openai.APIConnectionError as error:
            raise UnreachableError(f"the endpoint cannot be reached: {self._clean(str(error))}") from None
        except (openai.APIError, ValueError):
            raise ItemError(BAD_REPLY, "the endpoint does not answer as an OpenAI-compatible one does") from None
        return _completion_of(answer)

    async def _look_up(self) -> None:
        try:
            self._address = await public_address(self._options.base_url, self._field)
        except OSError as error:
            raise UnreachableError(f"the name of the endpoint cannot be looked up: {error.strerror}") from None

    async def _before_request(self, request: Any) -> None:
        """Of each attempt. The type of the request differs between versions of the library."""
        if self._limiter is not None:
            await self._limiter.acquire()
        for name in (*_FOREIGN_HEADERS, *([] if self._key else ["authorization"])):
            with suppress(KeyError):
                del request.headers[name]
        if not self._listed:
            # To the address that was looked at; the header `Host` is set already, and the certificate is for the name.
            request.extensions = {**request.extensions, "sni_hostname": host_of(self._options.base_url)}
            request.url = request.url.copy_with(host=self._address)

    def _of_status(self, error: openai.APIStatusError) -> Exception:
        said = f"HTTP {error.status_code}: {self._clean(error.message)}"
        if error.status_code == 429 or error.status_code >= 500:
            return UnreachableError(f"the endpoint says {said}")
        if error.status_code in (400, 422):
            return RefusedError(f"the endpoint says {said}", str(error.param or ""))
        if error.status_code in (401, 403, 404):
            return PermanentError("llm_refused", f"The endpoint says {said} ({self._field}).")
        if error.status_code < 400:
            message = (
                f"The endpoint redirects, which is not followed; {self._field}.base_url must be its final address."
            )
            return PermanentError("llm_redirected", message)
        return ItemError(BAD_REQUEST, f"the endpoint says {said}")

    def _clean(self, text: str) -> str:
        """Some endpoints repeat the key that they refuse."""
        return shortened(text.replace(self._key, "***") if self._key else text)


def _key_of(options: LlmOptions, field: str) -> str | None:
    if options.api_key_env is None:
        return None
    key = os.environ.get(options.api_key_env, "").strip()
    if not key:
        message = f"The variable {options.api_key_env}, which {field}.api_key_env names, is not set on the worker."
        raise PermanentError("llm_key_missing", message)
    return key


def _completion_of(answer: object) -> Completion:
    """The library does not check what it was sent."""
    if not isinstance(answer, ChatCompletion) or not answer.choices or not getattr(answer.choices[0], "message", None):
        raise ItemError(BAD_REPLY, "the endpoint does not answer as an OpenAI-compatible one does")
    choice, usage = answer.choices[0], answer.usage
    text: object = choice.message.content
    return Completion(
        text if isinstance(text, str) else "",
        choice.finish_reason == "length",
        (usage.prompt_tokens if usage else 0) or 0,
        (usage.completion_tokens if usage else 0) or 0,
    )

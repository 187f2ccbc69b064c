"""A stand-in for an OpenAI-compatible endpoint, on loopback, in a thread of its own; it answers as told."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass(frozen=True)
class Asked:
    """A request; `number` counts from 0."""

    number: int
    body: dict[str, Any]
    headers: Mapping[str, str]

    @property
    def text(self) -> str:
        return "\n\n".join(message["content"] for message in self.body["messages"])

    @property
    def format(self) -> str:
        return str(self.body.get("response_format", {}).get("type", "none"))

    @property
    def is_repair(self) -> bool:
        return any(message["role"] == "assistant" for message in self.body["messages"])


@dataclass(frozen=True)
class Said:
    """An answer; a dict in its place is a reply of that JSON, a text a reply of that text."""

    content: str | None = ""
    finish_reason: str = "stop"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None
    raw: bytes | None = None
    hangs: bool = False


Answer = Said | dict[str, Any] | str

HANG = Said(hangs=True)
NONSENSE = "I am afraid I cannot say that in JSON."


def cut(content: str) -> Said:
    """What a reply looks like that reached `max_tokens`."""
    return Said(content, "length")


def refused(status: int, message: str = "no", *, param: str | None = None, **headers: str) -> Said:
    """`headers`: with underscores, as in `retry_after`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Said(status=status, headers=named, error={"message": message, "type": "error", "param": param})


def in_turn(*answers: Answer) -> Callable[[Asked], Answer]:
    """The first request gets the first of them, and so on; the last stays."""
    return lambda asked: answers[min(asked.number, len(answers) - 1)]


class LlmStub:
    """`answer` may be replaced at any time; it is called in the stub's thread."""

    def __init__(self, answer: Callable[[Asked], Answer]) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        self.most_at_once = 0
        self.base_url = ""
        self.port = 0
        self._at_once = 0

    def options(self, **more: Any) -> dict[str, Any]:
        """For `llm` in parameters; without waiting between retries."""
        return {"base_url": self.base_url, "model": "stub", "max_retries": 0, **more}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        asked = Asked(len(self.asked), await request.json(), dict(request.headers))
        self.asked.append(asked)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            # So that others can come in between.
            await asyncio.sleep(0.005)
            return await self._respond(asked)
        finally:
            self._at_once -= 1

    async def _respond(self, asked: Asked) -> web.StreamResponse:
        answer = self.answer(asked)
        said = answer if isinstance(answer, Said) else Said(answer if isinstance(answer, str) else json.dumps(answer))
        if said.hangs:
            await asyncio.Event().wait()
        if said.raw is not None:
            return web.Response(body=said.raw, content_type="application/json", status=said.status)
        body = {"error": said.error} if said.error is not None else _completion(said, asked)
        return web.json_response(body, status=said.status, headers=dict(said.headers))


def _completion(said: Said, asked: Asked) -> dict[str, Any]:
    message = {"role": "assistant", "content": said.content}
    used = {"prompt_tokens": len(asked.text) // 4, "completion_tokens": len(said.content or "") // 4}
    return {
        "id": f"reply-{asked.number}",
        "object": "chat.completion",
        "created": 0,
        "model": asked.body["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": said.finish_reason}],
        "usage": {**used, "total_tokens": sum(used.values())},
    }


@contextmanager
def llm_stub(answer: Callable[[Asked], Answer] | Answer) -> Iterator[LlmStub]:
    """`answer`: what it says, always or to each request."""
    stub = LlmStub(answer if callable(answer) else in_turn(answer))
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    stop = asyncio.Event()

    async def serve() -> None:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", stub.handle)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        stub.port = runner.addresses[0][1]
        stub.base_url = f"http://127.0.0.1:{stub.port}/v1"
        ready.set()
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), name="llm-stub", daemon=True)
    thread.start()
    try:
        assert ready.wait(10)
        yield stub
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()

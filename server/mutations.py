"""Changes that go through to their end although the client hung up: a cancelled request must not leave a question."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Mutations:
    """Owns the tasks until they have ended. Each call of the library has its own deadline, so each task ends."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(self, change: Coroutine[Any, Any, T], *, name: str) -> T:
        task = asyncio.get_running_loop().create_task(change, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return await asyncio.shield(task)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            # Looked at here, because nobody else may be left to do so.
            task.exception()

    async def close(self) -> None:
        await asyncio.gather(*self._tasks, return_exceptions=True)

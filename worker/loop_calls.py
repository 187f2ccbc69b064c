"""The two ways to run a job inside this process, and how each is asked to stop and, in the end, given up.

Giving up is no stopping: what ignores its cancellation stays where it is, and only the end of the process ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Generator
from typing import Any, Final

from jobqueue.job import Failed, Outcome

# Replaced by the reason why the job was asked to stop.
GIVEN_UP: Final = Failed("the job was given up")


class InlineCall(Generator[Any, Any, Any]):
    """A coroutine that waits for something, driven on inside the present task.

    A task of its own would cost more than most of what it would run. Awaiting this object hands everything through to
    the coroutine, except that a given-up one is not entered again.
    """

    __slots__ = ("_awaited", "_coroutine", "_given_up", "_requests", "_task")

    killable: Final = False
    hears: Final = True

    def __init__(self, coroutine: Coroutine[Any, Any, Any], awaited: Any, task: asyncio.Task[Any]) -> None:
        """`awaited`: what the coroutine's first step is waiting for."""
        self._coroutine = coroutine
        self._awaited = awaited
        self._task = task
        self._requests = 0
        self._given_up = False

    def __await__(self) -> Generator[Any, Any, Any]:
        return self

    def send(self, value: Any) -> Any:
        awaited, self._awaited = self._awaited, None
        return self._coroutine.send(value) if awaited is None else awaited

    def throw(self, kind: Any, value: Any = None, trace: Any = None, /) -> Any:
        if self._given_up:
            raise StopIteration(GIVEN_UP)
        return self._coroutine.throw(kind if value is None else value)

    @property
    def ended(self) -> bool:
        return False

    def ask(self) -> None:
        self._requests += 1
        self._task.cancel()

    def force(self) -> None:
        self._given_up = True
        self.ask()

    def settle(self) -> None:
        """The task lives on: what was asked of it for this call's sake is taken back."""
        for _ in range(self._requests):
            self._task.uncancel()


class TaskCall:
    """A task of its own, or a thread behind a future, so that `wait` can return while the job does not."""

    __slots__ = ("_call", "_given_up", "hears")

    killable: Final = False

    def __init__(self, call: asyncio.Future[Outcome], *, hears: bool) -> None:
        """`hears`: whether cancelling the call stops it; a thread would only become invisible."""
        self._call = call
        self.hears = hears
        self._given_up = asyncio.get_running_loop().create_future()

    async def wait(self) -> Outcome:
        try:
            await asyncio.wait({self._call, self._given_up}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self.ask()
            with contextlib.suppress(asyncio.CancelledError):
                await self._call
            raise
        return self._call.result() if self._call.done() else GIVEN_UP

    @property
    def ended(self) -> bool:
        return self._call.done()

    def ask(self) -> None:
        if self.hears:
            self._call.cancel()

    def force(self) -> None:
        if not self._given_up.done():
            self._given_up.set_result(None)

"""A subscription ends when it is told to, also when a message arrives in the same moment."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from jobqueue.subscription import Subscription
from jobqueue.wire import Wire


class SilentWire:
    def write(self, packed: list[bytes]) -> None: ...


@pytest.mark.parametrize("turns", range(5))
async def test_a_cancellation_is_not_lost_to_a_message(turns: int) -> None:
    replies: asyncio.Queue[Any] = asyncio.Queue()
    subscription = Subscription("redis://nowhere", "test", ("a",))

    async def follow() -> None:
        while True:
            await subscription._next(SilentWire(), replies)  # type: ignore[arg-type]

    task = asyncio.create_task(follow(), name="follow")
    for _ in range(3):
        await asyncio.sleep(0)
    replies.put_nowait([b"message", b"a", b"x"])
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=1)
    task.cancel()
    assert done


async def test_a_cancellation_that_connecting_swallows_still_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def open_and_swallow(self: Wire, url: str, name: str) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)

    monkeypatch.setattr(Wire, "open", open_and_swallow)
    monkeypatch.setattr(Wire, "write", lambda self, packed: None)

    async def follow() -> None:
        async for _ in Subscription("redis://nowhere", "test", ("a",)).messages():
            pass

    task = asyncio.create_task(follow(), name="follow")
    await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=1)
    task.cancel()
    assert done

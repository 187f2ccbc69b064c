"""A subscription ends when it is told to, also when a message arrives in the same moment."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from jobqueue.subscription import Subscription


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

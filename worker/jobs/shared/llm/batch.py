"""Many items at a time, results in the order of the items."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

T = TypeVar("T")
V = TypeVar("V")

# Between two looks whether the job is cancelled.
LOOK_SECONDS: Final = 0.1


async def run_all(
    items: Sequence[T],
    work: Callable[[T], Awaitable[V]],
    concurrency: int,
    check: Callable[[], None],
    note: Callable[[int], None],
) -> list[V]:
    """`check` is called often and `note` with how many are done; what they or `work` raise stops everything."""
    results: dict[int, V] = {}
    running: dict[asyncio.Task[V], int] = {}
    begun = 0
    try:
        while len(results) < len(items):
            while begun < len(items) and len(running) < concurrency:
                running[_start(work, items[begun], begun)] = begun
                begun += 1
            ended, _ = await asyncio.wait(running, timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            check()
            for task in sorted(ended, key=running.__getitem__):
                results[running.pop(task)] = task.result()
            if ended:
                note(len(results))
    finally:
        await _stop(running)
    return [results[place] for place in range(len(items))]


def _start(work: Callable[[T], Awaitable[V]], item: T, place: int) -> asyncio.Task[V]:
    async def run() -> V:
        return await work(item)

    return asyncio.get_running_loop().create_task(run(), name=f"item-{place}")


async def _stop(tasks: dict[asyncio.Task[V], int]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

"""Tasks that run as long as their owner, who cancels and awaits them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final, ParamSpec, TypeVar

log = logging.getLogger(__name__)

AGAIN_SECONDS: Final = 1.0
P = ParamSpec("P")
T = TypeVar("T")


async def to_its_end(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """In a thread, as `asyncio.to_thread`; who is cancelled meanwhile leaves only when it has ended."""
    work = asyncio.get_running_loop().create_task(asyncio.to_thread(call, *args, **kwargs), name="blocking-call")
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait({work})
        if not work.cancelled():
            # Looked at here, because nobody else will.
            work.exception()
        raise


def start_task(make: Callable[[], Coroutine[Any, Any, None]], *, name: str) -> asyncio.Task[None]:
    """`make` is called again when its work has died of a defect: a server that looks healthy must not lack a part."""
    return asyncio.get_running_loop().create_task(_keep_alive(make, name), name=name)


async def _keep_alive(make: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
    while True:
        work = asyncio.get_running_loop().create_task(make(), name=f"{name}-work")
        try:
            await asyncio.wait({work})
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
        if not work.cancelled():
            log.critical("task %s died and begins again", name, exc_info=work.exception())
        await asyncio.sleep(AGAIN_SECONDS)

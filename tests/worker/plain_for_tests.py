"""Plain functions of every behaviour, called as a record names them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import jobs_for_tests

HERE_ARE = (os, subprocess)
NO_FUNCTION = "text"
steps: list[str] = []
may_end = threading.Event()


async def plain_async(*args: Any, **kwargs: Any) -> Any:
    return [list(args), kwargs] if args or kwargs else None


async def plain_waits() -> str:
    await asyncio.sleep(0)
    await asyncio.wait_for(asyncio.sleep(0, "x"), 5)
    return "waited"


def plain_sync(*args: Any, **kwargs: Any) -> Any:
    return [list(args), kwargs, threading.current_thread() is threading.main_thread()]


def plain_wrapped() -> Any:
    return plain_waits()


async def plain_returns(choice: str) -> Any:
    return {"object": object(), "set": {1}, "surrogate": "\ud800", "keys": {(1, 2): 3}, "tuple": (1, 2)}[choice]


async def plain_raises(choice: str) -> None:
    if choice == "cancelled":
        raise asyncio.CancelledError
    jobs_for_tests.raises(None, jobs_for_tests.Params(choice=choice, text="of a plain function"))  # type: ignore[arg-type]


async def plain_sleeps() -> str:
    steps.append("started")
    try:
        await asyncio.sleep(600)
    finally:
        steps.append("cleaned up")
    return "slept"


async def plain_ignores() -> None:
    steps.append("started")
    while not may_end.is_set():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(600)
        steps.append("swallowed")


async def plain_returns_when_cancelled() -> str:
    with contextlib.suppress(asyncio.CancelledError):
        steps.append("started")
        await asyncio.sleep(600)
    return "half a result"


def plain_thread() -> str:
    steps.append("started")
    may_end.wait(10)
    return "ended"


def plain_pid() -> int:
    return os.getpid()


def plain_dies() -> None:
    os._exit(7)


def plain_holds_still(file: str) -> None:
    Path(file).write_text(str(os.getpid()))
    time.sleep(60)


async def plain_tells(file: str) -> None:
    with open(file, "a") as told:  # noqa: ASYNC230
        print("started", file=told, flush=True)
        try:
            await asyncio.sleep(600)
        finally:
            print("cleaned up", file=told, flush=True)

"""A plain function for workers: tells when it began and ends when it may."""

from __future__ import annotations

import asyncio

began: list[float] = []
may_end = asyncio.Event()


async def run() -> None:
    began.append(asyncio.get_running_loop().time())
    await may_end.wait()

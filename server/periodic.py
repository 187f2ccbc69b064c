"""One thing done again and again, through failures of the queue."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

import psutil

from jobqueue.errors import QueueError

log = logging.getLogger(__name__)

LONGEST_PAUSE_SECONDS: Final = 5.0


async def every(seconds: float, action: Callable[[], Awaitable[bool | None]], *, name: str) -> None:
    """Runs until cancelled, first at once. `action` answers True when it wants to go on without a pause."""
    failures = 0
    while True:
        again = False
        try:
            again = bool(await action())
            if failures:
                log.info("%s works again", name)
            failures = 0
        except (QueueError, psutil.Error) as error:
            failures += 1
            if failures == 1:
                log.warning("%s does not work, trying on: %s", name, error)
        backoff = min(LONGEST_PAUSE_SECONDS, 0.25 * 2**failures) if failures else 0.0
        await asyncio.sleep(0 if again else max(seconds, backoff))

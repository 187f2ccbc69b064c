"""Tasks that run as long as their owner, who cancels and awaits them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger(__name__)


def start_task(work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
    task = asyncio.get_running_loop().create_task(work, name=name)
    task.add_done_callback(_complain)
    return task


def _complain(task: asyncio.Task[None]) -> None:
    # By its owner it is awaited at the very end only, and until then nobody would know.
    if not task.cancelled() and task.exception() is not None:
        log.critical("task %s died", task.get_name(), exc_info=task.exception())

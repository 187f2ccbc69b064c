"""Hears commands for this worker, ours and RQ's: cancel or stop one execution, look for work, drain, shut down."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from jobqueue.signals import WorkerChannel
from worker.slots import Held, Slots

log = logging.getLogger(__name__)


class CancelListener:
    """`subscribed`: commands sent from now on are heard."""

    def __init__(
        self,
        channel: WorkerChannel,
        slots: Slots,
        *,
        offer: Callable[[], None],
        shut_down: Callable[[], None],
        drain: Callable[[], None],
    ) -> None:
        self._channel = channel
        self._slots = slots
        self._offer = offer
        self._shut_down = shut_down
        self._drain = drain
        self.subscribed = asyncio.Event()

    async def run(self) -> None:
        async for message in self._channel.messages():
            # The first says that from now on none is missed.
            self.subscribed.set()
            self._obey(message)

    def _obey(self, message: dict[str, Any]) -> None:
        command = message.get("command")
        if command == "wake":
            self._offer()
        elif command == "cancel-execution":
            self._slots.order(_token(message), _cancel)
        elif command == "shutdown":
            self._shut_down()
        elif command == "drain":
            self._drain()
        elif command == "stop-execution":
            self._slots.order(_token(message), _halt)
        elif command == "stop-job":
            self._slots.order(str(message.get("job_id")), _halt)
        elif command == "kill-horse":
            for held in self._slots.held.values():
                held.run.kill()
        else:
            log.info("command %r is not known", command)


def _token(message: dict[str, Any]) -> str:
    return f"{message.get('job_id')}:{message.get('execution_id')}"


def _halt(held: Held) -> None:
    held.run.halt()


def _cancel(held: Held) -> None:
    if not held.cancelled:
        held.cancelled = True
        held.run.cancel()

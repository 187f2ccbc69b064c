"""Several servers on one port: the parent owns the socket, starts them, starts again what dies, and stops them all."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Final

from jobqueue import Settings
from server.child import READY

log = logging.getLogger(__name__)

START_SECONDS: Final = 60.0
# Beside what the server itself waits for its clients.
STOP_SECONDS: Final = 10.0
FIRST_DELAY_SECONDS: Final = 0.1
LONGEST_DELAY_SECONDS: Final = 5.0
# A process that ran this long was well: its end is a new trouble, not the same one again.
WELL_SECONDS: Final = 10.0


class Processes:
    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        self._children = [_Child(settings, listener) for _ in range(settings.server.processes)]

    async def run(self, announce: Callable[[], None]) -> int:
        """Until SIGINT or SIGTERM: 0. When they cannot be started at first: the exit code of the one that failed."""
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        waiting = asyncio.create_task(stop.wait(), name="wait-for-signal")
        keeping = asyncio.create_task(self._keep(announce), name="keep-processes")
        try:
            await asyncio.wait({waiting, keeping}, return_when=asyncio.FIRST_COMPLETED)
            return keeping.result() if keeping.done() else 0
        finally:
            for task in (waiting, keeping):
                task.cancel()
            await asyncio.gather(waiting, keeping, return_exceptions=True)
            await asyncio.gather(*(child.stop() for child in self._children))

    async def _keep(self, announce: Callable[[], None]) -> int:
        first, *others = self._children
        # What is wrong for all is said by one.
        codes = [await first.start()]
        if codes == [0]:
            codes += await asyncio.gather(*(child.start() for child in others))
        if any(codes):
            return next(code for code in codes if code)
        announce()
        async with asyncio.TaskGroup() as group:
            for number, child in enumerate(self._children):
                group.create_task(child.keep(), name=f"keep-process-{number}")
        return 0


class _Child:
    def __init__(self, settings: Settings, listener: socket.socket) -> None:
        self._listener = listener.fileno()
        self._stop_seconds = settings.server.shutdown_seconds + STOP_SECONDS
        self._settings = settings.model_dump_json().encode() + b"\n"
        self._process: asyncio.subprocess.Process | None = None
        self._started_at = 0.0

    async def start(self) -> int:
        """0: it serves. Otherwise it has ended, with this code."""
        self._started_at = time.monotonic()
        # The file may have changed since, so a child reads no configuration. A session of its own: Ctrl-C in the
        # terminal reaches the parent only, which then tells them once.
        process = self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "server.child", str(self._listener)),
            pass_fds=[self._listener],
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(self._settings)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_SECONDS):
                if await process.stdout.readline() == READY:
                    return 0
                return await process.wait() or 1
        await self.stop()
        return process.returncode or 1

    async def keep(self) -> None:
        """Start it again whenever it ends."""
        delay = FIRST_DELAY_SECONDS
        while True:
            assert self._process is not None
            code = await self._process.wait()
            if time.monotonic() - self._started_at >= WELL_SECONDS:
                delay = FIRST_DELAY_SECONDS
            log.error("a server process has ended and is started again", extra={"code": code, "delay": delay})
            await asyncio.sleep(delay)
            delay = min(2 * delay, LONGEST_DELAY_SECONDS)
            try:
                await self.start()
            except OSError as error:
                log.error("a server process cannot be started: %s", error)

    async def stop(self) -> None:
        """SIGTERM, and after a while SIGKILL."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(self._stop_seconds):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

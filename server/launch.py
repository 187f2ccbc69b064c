"""Starts a server and a worker as processes of their own, for `make run` and `make demo`, and stops both again.

Each is in a session of its own, so that Ctrl-C in the terminal reaches this process only, which then tells them once.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import BinaryIO, Final

STUCK_WORKER: Final = 70
START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 45.0


class StartError(Exception):
    """A part did not start; the text is what it said."""


class Part:
    """One process. `log`: where its stderr goes; None = to ours."""

    def __init__(
        self, module: str, options: Sequence[str], environment: Mapping[str, str], log: BinaryIO | None = None
    ) -> None:
        self._log = log
        self._command = (sys.executable, "-m", module, *options)
        self._environment = {**os.environ, "PYTHONUNBUFFERED": "1", **environment}
        self._process: asyncio.subprocess.Process | None = None
        self._relay: asyncio.Task[None] | None = None
        self.name = module

    async def start(self) -> str:
        """Answers its first line on stdout. Raises StartError."""
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            env=self._environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=self._log,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(START_SECONDS):
                line = await self._process.stdout.readline()
        except TimeoutError:
            await self.stop()
            raise StartError(f"{self.name} did not start in {START_SECONDS:.0f} s") from None
        if not line:
            raise StartError(f"{self.name} exited with code {await self._process.wait()}")
        await self._end_relay()
        self._relay = asyncio.create_task(self._pass_on(self._process.stdout), name=f"output-of-{self.name}")
        return line.decode().strip()

    async def wait(self, restart_on: int | None = None) -> int:
        """Until it exits; its code."""
        while True:
            assert self._process is not None
            code = await self._process.wait()
            if code != restart_on:
                return code
            await self.start()

    async def stop(self) -> None:
        """SIGTERM, and after a while SIGKILL."""
        await self._terminate()
        await self._end_relay()

    async def _pass_on(self, output: asyncio.StreamReader) -> None:
        # A full pipe would hold up whoever prints next.
        while chunk := await output.read(65536):
            target = self._log or sys.stderr.buffer
            target.write(chunk)
            target.flush()

    async def _end_relay(self) -> None:
        if self._relay is not None:
            self._relay.cancel()
            await asyncio.gather(self._relay, return_exceptions=True)

    async def _terminate(self) -> None:
        if self._process is None or self._process.returncode is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


class System:
    """A server and a worker that share a configuration. `url` is known after `start`."""

    def __init__(
        self,
        config: Sequence[str],
        server: Sequence[str],
        environment: Mapping[str, str],
        log: BinaryIO | None = None,
    ) -> None:
        self._server = Part("server", [*config, *server], environment, log)
        self._worker = Part("worker", config, environment, log)
        self.url = ""

    async def start(self) -> None:
        line = await self._server.start()
        self.url = line.rpartition(" ")[2]
        await self._worker.start()

    async def failed(self) -> str:
        """Returns when a part has exited by itself, with the reason."""
        waits = {
            asyncio.create_task(self._server.wait(), name="server"): self._server,
            asyncio.create_task(self._worker.wait(STUCK_WORKER), name="worker"): self._worker,
        }
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            first = done.pop()
            return f"{waits[first].name} exited with code {first.result()}"
        finally:
            for task in waits:
                task.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def stop(self) -> None:
        """The worker first: what it reports last is then still seen by watchers."""
        await self._worker.stop()
        await self._server.stop()

"""A child as its worker holds it: start, messages, signals, and an end that leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable

from worker.child_protocol import MOST_LINE_BYTES
from worker.process_tree import kill_descendants
from worker.wording import MOST_DETAIL_BYTES


class ChildProcess:
    """The guard (`worker.child`) and all processes below it."""

    def __init__(
        self,
        guard: asyncio.subprocess.Process,
        channel: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        errors: asyncio.StreamReader,
    ) -> None:
        self._guard = guard
        self._reader, self._writer = channel
        self._errors = errors
        self._last_errors = b""

    @property
    def pid(self) -> int:
        return self._guard.pid

    @property
    def last_errors(self) -> str:
        """The end of what the child wrote to its stderr."""
        return self._last_errors.decode("utf-8", "replace")

    async def messages(self) -> AsyncIterator[bytes]:
        """Lines until the child's side is closed, or nonsense comes."""
        with contextlib.suppress(ConnectionError, ValueError):
            while line := await self._reader.readline():
                yield line

    def send(self, message: bytes) -> None:
        self._writer.write(message)

    async def relay_errors(self, take: Callable[[bytes], None]) -> None:
        """What the child prints; its end is kept for the verdict."""
        while chunk := await self._errors.read(65536):
            self._last_errors = (self._last_errors + chunk)[-MOST_DETAIL_BYTES:]
            take(chunk)

    def kill(self) -> None:
        """The job's processes; their guard then says how they ended, and ends."""
        if self._guard.returncode is None:
            kill_descendants(self.pid)

    def kill_guard(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._guard.kill()

    async def ended(self) -> None:
        await self._guard.wait()

    async def end(self) -> None:
        """Whatever state it is in: afterwards no process of it lives."""
        if self._guard.returncode is None:
            self.kill()
            self.kill_guard()
            await self._guard.wait()
        if self._guard.returncode != 0:
            # Without its guard a process is found by its group only.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)


@contextlib.asynccontextmanager
async def started_child(lease: int) -> AsyncIterator[ChildProcess]:
    """`lease`: the descriptor of its clock. Raises OSError when the machine has no room for another process."""
    async with contextlib.AsyncExitStack() as closed_at_end:
        with contextlib.ExitStack() as handed_over:
            channel, child_channel = await _open_channel(closed_at_end)
            handed_over.callback(child_channel.close)
            errors, child_errors = await _open_errors(closed_at_end)
            handed_over.callback(os.close, child_errors)
            guard = await _start_guard(child_channel.fileno(), lease, child_errors)
        child = ChildProcess(guard, channel, errors)
        closed_at_end.push_async_callback(child.end)
        yield child


async def _start_guard(channel: int, lease: int, errors: int) -> asyncio.subprocess.Process:
    arguments = ["-X", "faulthandler", "-m", "worker.child", str(channel), str(os.getpid()), str(lease)]
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        # Not the worker's own, which may be a pipe that nobody empties.
        stdout=errors,
        stderr=errors,
        pass_fds=[channel, lease],
        start_new_session=True,
    )


async def _open_channel(
    closed_at_end: contextlib.AsyncExitStack,
) -> tuple[tuple[asyncio.StreamReader, asyncio.StreamWriter], socket.socket]:
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_unix_connection(sock=ours, limit=MOST_LINE_BYTES)
    closed_at_end.push_async_callback(_close, writer)
    return (reader, writer), theirs


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def _open_errors(closed_at_end: contextlib.AsyncExitStack) -> tuple[asyncio.StreamReader, int]:
    # Not the subprocess module's own pipe: asyncio reports an end only when that is closed, and anybody may hold it.
    ours, theirs = os.pipe()
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(ours, "rb", buffering=0)
    )
    closed_at_end.callback(transport.close)
    return reader, theirs

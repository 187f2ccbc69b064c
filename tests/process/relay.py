"""A TCP relay between clients and a server: records what is asked, changes its target, cuts or silences connections."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


class Connection:
    """`asked`: all that the client has sent. `silent`: bytes are taken from both sides and go nowhere."""

    def __init__(self, writers: Iterable[asyncio.StreamWriter]) -> None:
        self.asked = b""
        self.silent = False
        self._writers = tuple(writers)

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()


class Relay:
    """`connect` reaches the target; it may be replaced at any time, for the connections to come."""

    def __init__(self, connect: Connect) -> None:
        self.connect = connect
        self.port = 0
        self.connections: list[Connection] = []
        self.open: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def heads(self) -> list[str]:
        """The heads of all HTTP requests without a body, in the order of their connections."""
        return [head for made in self.connections for head in made.asked.decode("latin-1").split("\r\n\r\n")[:-1]]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._join(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await self.connect()
        made = Connection((writer, up_writer))
        self.connections.append(made)
        self.open.add(made)
        ways = [
            asyncio.create_task(self._forward(made, reader, up_writer, asked=True), name="requests"),
            asyncio.create_task(self._forward(made, up_reader, writer, asked=False), name="replies"),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.open.discard(made)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            up_writer.close()
            writer.close()

    async def _forward(
        self, made: Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, asked: bool
    ) -> None:
        while data := await reader.read(65536):
            if asked:
                made.asked += data
            if not made.silent:
                writer.write(data)
                await writer.drain()

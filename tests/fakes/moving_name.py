"""A name that moves: a TCP proxy whose new connections go elsewhere while the old ones stay where they are."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class MovingName:
    """What DNS, a Service or a virtual address does at a failover. Open it with `opened()`."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = 0
        self.port = 0

    @classmethod
    @asynccontextmanager
    async def opened(cls, host: str, port: int) -> AsyncIterator[MovingName]:
        """Listens on 127.0.0.1 and leads to (host, port) until `move`."""
        name = cls((host, port))
        server = await asyncio.start_server(name._serve, "127.0.0.1", 0)
        name.port = server.sockets[0].getsockname()[1]
        try:
            yield name
        finally:
            server.close()
            for task in name._tasks:
                task.cancel()
            await asyncio.wait(name._tasks) if name._tasks else None

    def move(self, host: str, port: int) -> None:
        """Leads new connections to (host, port); the previous server keeps its existing ones."""
        self._target = (host, port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(_copy(reader, far_writer))
                    group.create_task(_copy(far_reader, writer))
            finally:
                far_writer.transport.abort()
        except (OSError, asyncio.CancelledError):
            pass  # a closed name refuses; so does a server that is away
        finally:
            writer.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Forwards bytes and their end."""
    with suppress(OSError):
        while data := await reader.read(64 * 1024):
            writer.write(data)
            await writer.drain()
        writer.close()
